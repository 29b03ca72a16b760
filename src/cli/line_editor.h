// Lines from a person: with editing and history on a terminal (libedit), plain lines from anything else.
#pragma once

#include <memory>
#include <string>

namespace frugal::cli {

class LineEditor {
 public:
  explicit LineEditor(const std::string& prompt);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  enum class Read { kLine, kEnd, kInterrupted };
  // The next line without its end. kInterrupted: a signal came; what was typed is dropped.
  Read read(std::string* line);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace frugal::cli
