#!/usr/bin/python3
"""Training speed: `frugal train` against PyTorch on the same shapes, batch and threads.

Both run in turn, several rounds, so that a busy machine disturbs both alike; medians over rounds are compared. PyTorch's
side is bench/quality_torch.py --speed, and any other script that takes --config PRESET --dtype --threads --steps and prints
'RESULT {"step_ms": ...}' (--yardstick).
"""
import argparse, json, os, shutil, statistics, subprocess, sys, tempfile, tomllib


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--frugal", required=True, help="the program")
    p.add_argument("--text", required=True, help="a text to train on")
    p.add_argument("--preset", default="nano")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--steps", type=int, default=8, help="timed steps of each run")
    p.add_argument("--yardstick", metavar="SCRIPT", help="another PyTorch trainer to measure as well")
    p.add_argument("--yardstick-arg", action="append", default=[], metavar="ARG", help="passed on to it; may be repeated")
    p.add_argument("--python", default="/usr/bin/python3", help="the interpreter that has PyTorch")
    return p.parse_args()


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}{done.stdout[-2000:]}")
    return done.stdout


def frugal_step_ms(a, precision, directory):
    """Median step time, and the loss of the last step: the result's identity, equal in every round."""
    shutil.rmtree(directory, ignore_errors=True)
    run([a.frugal, "train", a.preset, f"data={a.text}", f"out={directory}", f"steps={a.steps + 1}", f"threads={a.threads}",
         f"precision={precision}", "eval_every=0", "sample_every=0"])
    lines = [json.loads(line) for line in open(os.path.join(directory, "log.jsonl"))]
    # The first step pays for page faults.
    return 1e3 * statistics.median(line["seconds"] for line in lines[1:]), lines[-1]["loss"]


def result_of(output):
    line = next(line for line in output.splitlines() if line.startswith("RESULT "))
    return json.loads(line[len("RESULT "):])["step_ms"]


def torch_step_ms(a, precision, directory):
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "quality_torch.py")
    return result_of(run([a.python, script, "--run", directory, "--speed", str(a.steps), "--dtype", precision,
                          "--threads", str(a.threads)]))


def yardstick_step_ms(a, precision):
    return result_of(run([a.python, a.yardstick, "--config", a.preset, "--dtype", precision, "--threads", str(a.threads),
                          "--steps", str(a.steps), *a.yardstick_arg]))


def main():
    a = arguments()
    names = ["frugal", "torch"] + (["yardstick"] if a.yardstick else [])
    times, losses = {}, {}
    with tempfile.TemporaryDirectory() as work:
        for r in range(a.rounds):
            for precision in ("f32", "bf16"):
                directory = os.path.join(work, precision)
                ms, loss = frugal_step_ms(a, precision, directory)
                row = [ms, torch_step_ms(a, precision, directory)]
                if a.yardstick:
                    row.append(yardstick_step_ms(a, precision))
                times.setdefault(precision, []).append(row)
                losses.setdefault(precision, set()).add(loss)
                print(f"round {r + 1}  {precision:4}  ms per step: " +
                      "  ".join(f"{n} {v:.0f}" for n, v in zip(names, row)), flush=True)
        with open(os.path.join(directory, "recipe.toml"), "rb") as f:
            recipe = tomllib.load(f)
    tokens = recipe["batch"] * recipe["sequence_length"]
    print(f"\n{a.preset}, {tokens} tokens per step, {a.threads} thread(s), medians of {a.rounds} rounds of {a.steps} steps")
    print("ratio  precision  frugal tok/s  " + "".join(f"{n + ' tok/s':>17}" for n in names[1:]) + "   last loss of frugal")
    for precision, rows in times.items():
        medians = [statistics.median(column) for column in zip(*rows)]
        ratio = min(medians[1:]) / medians[0]  # against the faster PyTorch
        speeds = [1e3 * tokens / m for m in medians]
        print(f"{ratio:5.2f}  {precision:9}  {speeds[0]:12.0f}  " + "".join(f"{s:17.0f}" for s in speeds[1:]) +
              f"   {' '.join(map(repr, sorted(losses[precision])))}")
    if any(len(values) > 1 for values in losses.values()):
        sys.exit("the loss differs between rounds: frugal is not deterministic")


main()
