# Writes a source file with a function that returns the names and texts of files:
# cmake -DOUT=... -DHEADER=a/b.h -DNAMESPACE=n::m -DFUNCTION=f -DNAMES=NAME|NAME_WE "-DFILES=a.toml b.toml" -P embed_files.cmake
set(code "#include \"${HEADER}\"\n\nnamespace ${NAMESPACE} {\n\n")
string(APPEND code "const std::vector<std::pair<std::string_view, std::string_view>>& ${FUNCTION}() {\n")
string(APPEND code "  static const std::vector<std::pair<std::string_view, std::string_view>> all = {\n")
separate_arguments(FILES UNIX_COMMAND "${FILES}")
foreach(file IN LISTS FILES)
  get_filename_component(name "${file}" ${NAMES})
  file(READ "${file}" text)
  string(APPEND code "      {\"${name}\", R\"frugal(${text})frugal\"},\n")
endforeach()
string(APPEND code "  };\n  return all;\n}\n\n}  // namespace ${NAMESPACE}\n")
file(WRITE "${OUT}" "${code}")
