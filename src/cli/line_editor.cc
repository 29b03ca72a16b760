#include "cli/line_editor.h"

#include <histedit.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdio>

#include "base/terminal.h"

namespace frugal::cli {

struct LineEditor::State {
  std::string prompt;
  EditLine* editor = nullptr;  // null: not a terminal
  History* history = nullptr;
};

namespace {
constexpr int kHistoryLines = 500;

char* prompt_of(EditLine* editor) {
  void* prompt = nullptr;
  el_get(editor, EL_CLIENTDATA, &prompt);
  return static_cast<std::string*>(prompt)->data();
}
}  // namespace

LineEditor::LineEditor(const std::string& prompt) : state_(std::make_unique<State>()) {
  state_->prompt = prompt;
  if (isatty(STDIN_FILENO) == 0 || !detect_terminal(STDOUT_FILENO).ansi) return;
  std::setlocale(LC_CTYPE, "");  // how wide characters are; numbers stay as they are
  state_->editor = el_init("frugal", stdin, stdout, stderr);
  if (state_->editor == nullptr) return;
  state_->history = history_init();
  HistEvent event;
  history(state_->history, &event, H_SETSIZE, kHistoryLines);
  el_set(state_->editor, EL_CLIENTDATA, &state_->prompt);
  el_set(state_->editor, EL_PROMPT, prompt_of);
  el_set(state_->editor, EL_EDITOR, "emacs");
  el_set(state_->editor, EL_HIST, history, state_->history);
}

LineEditor::~LineEditor() {
  if (state_->history != nullptr) history_end(state_->history);
  if (state_->editor != nullptr) el_end(state_->editor);
}

namespace {
LineEditor::Read read_plain(std::string* line) {
  char* buffer = nullptr;
  size_t capacity = 0;
  errno = 0;
  const ssize_t n = getline(&buffer, &capacity, stdin);
  if (n >= 0) line->assign(buffer, static_cast<size_t>(n));
  const bool interrupted = n < 0 && errno == EINTR;
  std::free(buffer);
  if (interrupted) std::clearerr(stdin);
  return n >= 0        ? LineEditor::Read::kLine
         : interrupted ? LineEditor::Read::kInterrupted
                       : LineEditor::Read::kEnd;
}
}  // namespace

LineEditor::Read LineEditor::read(std::string* line) {
  if (state_->editor == nullptr) {
    if (isatty(STDIN_FILENO) == 1) {
      std::fputs(state_->prompt.c_str(), stdout);
      std::fflush(stdout);
    }
    const Read result = read_plain(line);
    while (!line->empty() && (line->back() == '\n' || line->back() == '\r')) line->pop_back();
    return result;
  }
  int n = 0;
  errno = 0;
  const char* text = el_gets(state_->editor, &n);
  if (text == nullptr || n <= 0) {
    const bool interrupted = errno == EINTR;
    el_reset(state_->editor);
    std::fputc('\n', stdout);
    return interrupted ? Read::kInterrupted : Read::kEnd;
  }
  line->assign(text, static_cast<size_t>(n));
  while (!line->empty() && (line->back() == '\n' || line->back() == '\r')) line->pop_back();
  HistEvent event;
  if (!line->empty()) history(state_->history, &event, H_ENTER, line->c_str());
  return Read::kLine;
}

}  // namespace frugal::cli
