//go:build amd64 || arm64

package pristine

import "testing"

// checkHotSet asks the kernel whether the hot set of a memory that was just
// restored is complete.
func checkHotSet(t testing.TB, m *Memory) {
	t.Helper()
	b, ok := m.body.(*mapped)
	if !ok || b.file.how != MethodHotSet {
		return
	}
	hot := make(map[int]bool)
	for _, s := range b.hot.spans {
		for at := s.start; at < s.end; at += b.file.page {
			hot[at] = true
		}
	}
	if len(hot)*b.file.page != b.hot.bytes {
		t.Fatalf("the hot set says %d bytes and has %d", b.hot.bytes, len(hot)*b.file.page)
	}
	_, err := b.file.pages.private(b.space, len(b.space), func(start, end int) {
		for at := start; at < end; at += b.file.page {
			if !hot[at] {
				t.Errorf("page %d is private and not in the hot set", at/b.file.page)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if t.Failed() {
		t.FailNow()
	}
}
