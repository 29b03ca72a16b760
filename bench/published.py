#!/usr/bin/env python3
"""Prefill and decode of a model directory beside llama.cpp on the same shape, in turn.

published.py --frugal BINARY --model DIR --gguf FILE --yardstick SCRIPT [--prompt 512] [--generate 32] [--depth 0,4096]

SCRIPT is run as `node SCRIPT FILE THREADS PROMPT GENERATE DEPTH` and must print JSON lines with prefill_tok_s and
decode_tok_s, one per repetition. Prints every round, then medians and ratios. Speeds compare within a run only.
"""
import argparse, json, os, statistics, subprocess, sys


def lines(command, cwd=None):
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def frugal(a, depth):
    rows = {r["test"]: r for r in lines([a.frugal, "bench", a.model, "--pp", str(a.prompt), "--tg", str(a.generate),
                                         "--depth", str(depth), "--repeats", "1", "--threads", str(a.threads), "--json"])}
    decode = rows[f"tg{a.generate}" + (f"@d{depth}" if depth else "")]
    return {"prefill": rows[f"pp{a.prompt}"]["avg_ts"], "decode": decode["avg_ts"], "share": decode["share_of_limit"]}


def peer(a, depth):
    rows = lines(["node", a.yardstick, a.gguf, str(a.threads), str(a.prompt), str(a.generate), str(depth)], cwd=a.node)
    return {"prefill": statistics.median(r["prefill_tok_s"] for r in rows),
            "decode": statistics.median(r["decode_tok_s"] for r in rows)}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--frugal", required=True)
    p.add_argument("--model", required=True, help="directory, for instance of `frugal synth moonlight-16b`")
    p.add_argument("--gguf", required=True)
    p.add_argument("--yardstick", required=True)
    p.add_argument("--node", help="folder whose node_modules the yardstick uses")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--prompt", type=int, default=512)
    p.add_argument("--generate", type=int, default=32)
    p.add_argument("--depth", default="0", help="positions in the cache, separated by commas")
    p.add_argument("--rounds", type=int, default=2)
    a = p.parse_args()
    for name in ("frugal", "model", "gguf", "yardstick", "node"):
        if getattr(a, name):
            setattr(a, name, os.path.abspath(getattr(a, name)))
    for depth in (int(d) for d in a.depth.split(",")):
        ours, theirs = [], []
        for i in range(a.rounds):
            ours.append(frugal(a, depth))
            theirs.append(peer(a, depth))
            print(f"depth {depth}, round {i + 1}: frugal {ours[-1]['prefill']:.1f} / {ours[-1]['decode']:.2f} tok/s "
                  f"({100 * ours[-1]['share']:.0f} % of the limit), llama.cpp {theirs[-1]['prefill']:.1f} / "
                  f"{theirs[-1]['decode']:.2f}", flush=True)
        for what in ("prefill", "decode"):
            x = statistics.median(r[what] for r in ours)
            y = statistics.median(r[what] for r in theirs)
            print(f"depth {depth}, {what}: frugal {x:.2f}, llama.cpp {y:.2f} tok/s, ratio {x / y:.2f}")


if __name__ == "__main__":
    main()
