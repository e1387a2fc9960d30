package archive_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/archive"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// digest is that of the module "test".
const digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

const revision = "revisions/greet/00000000000000000001"

func stored(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// entries are a small catalog with its module.
func entries(t *testing.T) []archive.Entry {
	rev := &ruedov1.Revision{Number: 1, Module: digest}
	return []archive.Entry{
		{Path: "decorators/small", Value: stored(t, &ruedov1.Decorator{Description: "limits"})},
		{Path: revision, Value: stored(t, rev)},
		{Path: "services/greet", Value: stored(t, &ruedov1.Service{Revision: rev})},
		archive.ModuleEntry(digest, []byte("test")),
	}
}

func write(t *testing.T, entries ...archive.Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := archive.NewWriter(&b, archive.Header{Cluster: "main", Time: time.Unix(1700000000, 0).UTC(), Revision: 7})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWhatWasWrittenIsRead(t *testing.T) {
	want := entries(t)
	data := write(t, want...)
	header, summary, err := archive.Verify(bytes.NewReader(data), archive.Limits{})
	if err != nil || header.Cluster != "main" || header.Revision != 7 || header.Format != archive.Format {
		t.Errorf("%+v, %v", header, err)
	}
	if summary.Services != 1 || summary.Revisions != 1 || summary.Decorators != 1 || summary.Modules != 1 || summary.SHA256 == "" {
		t.Errorf("%+v", summary)
	}
	r, err := archive.NewReader(bytes.NewReader(data), archive.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, w := range want {
		if e, err := r.Next(); err != nil || e.Path != w.Path || !bytes.Equal(e.Value, w.Value) {
			t.Errorf("%s, %v; want %s", e.Path, err, w.Path)
		}
	}
	for range 2 {
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("after the last one: %v", err)
		}
	}
	if r.Summary() != summary {
		t.Errorf("%+v", r.Summary())
	}
}

// Wherever an archive is cut off or changed, it is not taken for a whole one.
func TestNoPartOfAnArchiveIsOne(t *testing.T) {
	data := write(t, entries(t)...)
	_, whole, err := archive.Verify(bytes.NewReader(data), archive.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for n := range data {
		if _, _, err := archive.Verify(bytes.NewReader(data[:n]), archive.Limits{}); !errors.Is(err, fault.BackupInvalid) {
			t.Fatalf("the first %d of %d bytes: %v", n, len(data), err)
		}
	}
	for n := range data {
		flipped := bytes.Clone(data)
		flipped[n] ^= 0x20
		// Some bits mean nothing to Zstandard.
		if _, same, err := archive.Verify(bytes.NewReader(flipped), archive.Limits{}); err == nil && same != whole {
			t.Errorf("byte %d of %d was changed, and nobody noticed", n, len(data))
		}
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	all := entries(t)
	for name, c := range map[string]struct {
		entries []archive.Entry
		want    string
	}{
		"no module":        {all[:3], "module " + digest + ", which " + revision + " needs, is missing"},
		"no live revision": {[]archive.Entry{all[2]}, revision + " is live, and missing"},
		"unreadable":       {[]archive.Entry{{Path: "decorators/small", Value: []byte("\xff")}}, "decorators/small in it cannot be read"},
		"damaged module":   {append(all[:3:3], archive.ModuleEntry(digest, []byte("Test"))), "module " + digest + " is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := archive.Verify(bytes.NewReader(write(t, c.entries...)), archive.Limits{})
			if !errors.Is(err, fault.BackupInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want: %s", err, c.want)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	data := write(t, entries(t)...)
	for want, l := range map[string]archive.Limits{
		"a value of":  {Value: 1},
		"a module of": {Module: -1},
		"values":      {Entries: 2},
		"1 byte":      {Bytes: 1},
	} {
		if _, _, err := archive.Verify(bytes.NewReader(data), l); !errors.Is(err, fault.BackupInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want: %s", err, want)
		}
	}
}

func TestOnlyACatalogIsWritten(t *testing.T) {
	w, err := archive.NewWriter(io.Discard, archive.Header{})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"runners/a", "services/../etc", "/etc/passwd", "modules/short", "meta/format", ""} {
		if err := w.Add(archive.Entry{Path: path}); err == nil {
			t.Errorf("%q was written", path)
		}
	}
}

func TestOtherFilesAreNoArchives(t *testing.T) {
	for _, content := range []string{"", "hello", "\x28\xb5\x2f\xfd", strings.Repeat("\x00", 4096)} {
		if _, _, err := archive.Verify(strings.NewReader(content), archive.Limits{}); !errors.Is(err, fault.BackupInvalid) || !strings.Contains(err.Error(), "not a backup of Ruedo") {
			t.Errorf("%q: %v", content, err)
		}
	}
}
