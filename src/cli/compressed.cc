#include "cli/compressed.h"

#include <lzma.h>
#include <zlib.h>

#include <vector>

#include "base/error.h"

namespace frugal::cli {

size_t gzip_bytes(std::string_view text) {
  z_stream z{};
  constexpr int kGzipWindow = 15 + 16;  // the largest window, gzip header
  if (deflateInit2(&z, 9, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    fail("gzip", "cannot start", "free memory");
  std::vector<Bytef> out(deflateBound(&z, text.size()));
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));  // zlib reads only
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = out.data();
  z.avail_out = static_cast<uInt>(out.size());
  const int status = deflate(&z, Z_FINISH);
  const size_t bytes = z.total_out;
  deflateEnd(&z);
  FRUGAL_ASSERT(status == Z_STREAM_END, "deflate returned {}", status);
  return bytes;
}

size_t xz_bytes(std::string_view text) {
  std::vector<uint8_t> out(lzma_stream_buffer_bound(text.size()));
  size_t bytes = 0;
  const lzma_ret status =
      lzma_easy_buffer_encode(9, LZMA_CHECK_CRC64, nullptr, reinterpret_cast<const uint8_t*>(text.data()),
                              text.size(), out.data(), &bytes, out.size());
  if (status != LZMA_OK) fail("xz", "out of memory", "free memory");
  return bytes;
}

}  // namespace frugal::cli
