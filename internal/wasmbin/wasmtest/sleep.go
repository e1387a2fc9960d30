package wasmtest

import (
	"encoding/binary"
	"time"
)

// Sleep returns a function guest that waits for d and answers with nothing. It
// occupies a slot, and no processor.
func Sleep(d time.Duration) []byte {
	const clock, timeout, size, events, count = 16, 24, 48, 1024, 4096
	sub := make([]byte, size) // a subscription to a clock, tag 0, relative
	binary.LittleEndian.PutUint32(sub[clock:], 1)
	binary.LittleEndian.PutUint64(sub[timeout:], uint64(d))
	m := FunctionWith([]string{"wasi_snapshot_preview1.poll_oneoff:iiii>i"}, CallWith(0, 0, events, 1, count))
	m.Data(0, sub)
	return m.Bytes()
}
