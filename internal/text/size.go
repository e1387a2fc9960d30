package text

import (
	"strconv"
	"strings"
)

// Size writes a number of bytes in the largest binary unit that it reaches, to one
// decimal: "1.5 KiB", "32 MiB", "100 bytes".
func Size[T ~int | ~int64 | ~uint64 | ~uint32](bytes T) string {
	for i, unit := range []string{" GiB", " MiB", " KiB"} {
		if shift := 30 - 10*i; uint64(bytes)>>shift != 0 {
			s := strconv.FormatFloat(float64(bytes)/float64(uint64(1)<<shift), 'f', 1, 64)
			return strings.TrimSuffix(s, ".0") + unit
		}
	}
	if bytes == 1 {
		return "1 byte"
	}
	return strconv.FormatUint(uint64(bytes), 10) + " bytes"
}

// Over writes a size that exceeds a limit: with its bytes if it would look like
// the limit otherwise.
func Over[T ~int | ~int64 | ~uint64 | ~uint32](bytes, limit T) string {
	s := Size(bytes)
	if s == Size(limit) {
		s += " (" + strconv.FormatUint(uint64(bytes), 10) + " bytes)"
	}
	return s
}
