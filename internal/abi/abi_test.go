package abi

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestHeadReadsBack(t *testing.T) {
	pairs := [][2]string{{HeadCallID, "c-1"}, {HeadContentType, ""}, {"", "é\x00"}}
	var head []byte
	for _, p := range pairs {
		head = AppendField(head, p[0], p[1])
	}
	for _, want := range pairs {
		key, value, rest, ok := NextField(head)
		if !ok || key != want[0] || value != want[1] {
			t.Fatalf("got %q=%q, %t; want %q", key, value, ok, want)
		}
		head = rest
	}
	if _, _, rest, ok := NextField(head); ok || len(rest) != 0 {
		t.Errorf("after the end: %t, %d bytes", ok, len(rest))
	}
}

func TestHeadThatBreaksOffIsSeen(t *testing.T) {
	head := AppendField(nil, "key", "value")
	for n := 1; n < len(head); n++ {
		if _, _, rest, ok := NextField(head[:n]); ok || len(rest) == 0 {
			t.Errorf("%d of %d bytes: ok %t, %d bytes left", n, len(head), ok, len(rest))
		}
	}
	if _, _, _, ok := NextField([]byte("\xff\xff\xff\xffx")); ok {
		t.Error("a length of 4 GiB is taken")
	}
}

// The page for other languages mentions every name and number.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/abi.md")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{Marker, ExportMemory, ExportInitialize, ExportWarm, ExportCall, ExportStart, HostModule, WASIModule, HeadCallID, HeadContentType,
		MarkerHTTP, HeadMethod, HeadPath, HeadAuthority, HeadScheme, HeadProto, HeadRemote, HeadTimeout, HeadCaller, HeadStatus,
		HeadURL, HeadLength, HeadLocal, HeadError, HeadMessage}
	for _, name := range append(want, HostImports()...) {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/abi.md does not name `%s`", name)
		}
	}
	for name, number := range map[string]int{"fault": ErrFault, "limit": ErrLimit, "state": ErrState, "invalid": ErrInvalid, "again": ErrAgain, "broken": ErrBroken} {
		if row := fmt.Sprintf("| %s | %d |", name, number); !strings.Contains(string(page), row) {
			t.Errorf("docs/abi.md lacks the row %q", row)
		}
	}
}

func FuzzHead(f *testing.F) {
	f.Add(AppendField(AppendField(nil, "a", "b"), "c", ""))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, head []byte) {
		var again []byte
		rest := head
		for {
			key, value, next, ok := NextField(rest)
			if !ok {
				break
			}
			again, rest = AppendField(again, key, value), next
		}
		if !bytes.Equal(append(again, rest...), head) {
			t.Errorf("%q reads back as %q", head, again)
		}
	})
}
