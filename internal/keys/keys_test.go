package keys

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/names"
)

const digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

// hostile are names that no key may contain.
var hostile = map[string]string{
	"empty":              "",
	"dots":               "..",
	"dot":                ".",
	"slash":              "a/b",
	"leading slash":      "/a",
	"trailing slash":     "a/",
	"traversal":          "a/../b",
	"NUL":                "a\x00b",
	"newline":            "a\nb",
	"trailing newline":   "a\n",
	"10 KB":              strings.Repeat("a", 10<<10),
	"64 characters":      strings.Repeat("z", 64),
	"upper case":         "Team",
	"Cyrillic a":         "te\u0430m",
	"full-width":         "\uff54eam",
	"soft hyphen":        "te\u00adam",
	"zero width":         "te\u200bam",
	"right to left":      "te\u202eam",
	"broken UTF-8":       "te\xffam",
	"leading hyphen":     "-a",
	"trailing hyphen":    "a-",
	"only hyphen":        "-",
	"underscore":         "a_b",
	"dot inside":         "a.b",
	"space":              "a b",
	"percent":            "a%2fb",
	"long with good end": strings.Repeat("a", 1<<16) + "b",
}

func space(t testing.TB, cluster string) Space {
	t.Helper()
	s, err := NewSpace(cluster)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLayout(t *testing.T) {
	s := space(t, "main")
	key := func(k string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	for want, got := range map[string]string{
		"/ruedo/main/services/greet":                                 key(s.Service("greet")),
		"/ruedo/main/services/":                                      s.Prefix(KindService),
		"/ruedo/main/revisions/greet/00000000000000000007":           key(s.Revision("greet", 7)),
		"/ruedo/main/revisions/greet/18446744073709551615":           key(s.Revision("greet", math.MaxUint64)),
		"/ruedo/main/revisions/greet/":                               key(s.Revisions("greet")),
		"/ruedo/main/modules/" + digest + "/manifest":                key(s.ModuleManifest(digest)),
		"/ruedo/main/modules/" + digest + "/chunks/000012":           key(s.ModuleChunk(digest, 12)),
		"/ruedo/main/decorators/small":                               key(s.Decorator("small")),
		"/ruedo/main/decorators/":                                    s.Prefix(KindDecorator),
		"/ruedo/main/decorator-revisions/small/00000000000000000007": key(s.DecoratorRevision("small", 7)),
		"/ruedo/main/decorator-revisions/small/":                     key(s.DecoratorRevisions("small")),
		"/ruedo/main/runners/edge-1":                                 key(s.Key(KindRunner, "edge-1")),
		"/ruedo/main/runners/":                                       s.Prefix(KindRunner),
		"/ruedo/main/cores/c1":                                       key(s.Key(KindCore, "c1")),
		"/ruedo/main/cores/":                                         s.Prefix(KindCore),
		"/ruedo/main/access/cluster":                                 key(s.Key(KindAccess, TheAccess)),
		"/ruedo/main/users/ada":                                      key(s.Key(KindUser, "ada")),
		"/ruedo/main/tokens/7kq2m9x4tb":                              key(s.Key(KindToken, "7kq2m9x4tb")),
		"/ruedo/main/roles/ops":                                      key(s.Key(KindRole, "ops")),
		"/ruedo/main/links/7kq2m9x4tb":                               key(s.Key(KindLink, "7kq2m9x4tb")),
		"/ruedo/main/authorities/1":                                  key(s.Key(KindAuthority, "1")),
		"/ruedo/main/seal/keyring":                                   key(s.Key(KindSeal, TheKeyring)),
		"/ruedo/main/audit/c1/00000000000000000007":                  key(s.AuditRecord("c1", 7)),
		"/ruedo/main/audit/c1/":                                      key(s.AuditRecords("c1")),
		"/ruedo/main/audit/":                                         s.Audit(),
		"/ruedo/main/audit-chains/c1":                                key(s.Key(KindAuditChain, "c1")),
		"/ruedo/main/meta/format":                                    s.Format(),
		"main":                                                       s.Cluster(),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestHostileNamesHaveNoKey(t *testing.T) {
	s := space(t, "main")
	for what, name := range hostile {
		if names.Valid(name) {
			t.Errorf("%s: names.Valid accepts it", what)
		}
		if _, err := NewSpace(name); !errors.Is(err, fault.ConfigInvalid) {
			t.Errorf("%s: NewSpace gives %v, want CONFIG_INVALID", what, err)
		}
		for method, build := range map[string]func(string) (string, error){
			"Service":            s.Service,
			"Revisions":          s.Revisions,
			"Revision":           func(n string) (string, error) { return s.Revision(n, 1) },
			"ModuleManifest":     s.ModuleManifest,
			"ModuleChunk":        func(n string) (string, error) { return s.ModuleChunk(n, 0) },
			"Decorator":          s.Decorator,
			"DecoratorRevisions": s.DecoratorRevisions,
			"DecoratorRevision":  func(n string) (string, error) { return s.DecoratorRevision(n, 1) },
			"Runner":             func(name string) (string, error) { return s.Key(KindRunner, name) },
			"Core":               func(name string) (string, error) { return s.Key(KindCore, name) },
			"AuditRecords":       s.AuditRecords,
			"AuditRecord":        func(n string) (string, error) { return s.AuditRecord(n, 1) },
		} {
			key, err := build(name)
			if key != "" || !errors.Is(err, fault.RequestInvalid) {
				t.Errorf("%s: %s gives %q, %v, want REQUEST_INVALID", what, method, key, err)
				continue
			}
			if msg := err.Error(); len(msg) > 600 || strings.ContainsFunc(msg, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%s: %s repeats the name raw or at length: %q", what, method, msg)
			}
		}
	}
}

func TestChunkOutOfRange(t *testing.T) {
	s := space(t, "main")
	for _, i := range []int{-1, MaxChunk + 1} {
		if key, err := s.ModuleChunk(digest, i); err == nil {
			t.Errorf("chunk %d has the key %s", i, key)
		}
	}
}

func TestPrefixesDoNotReachNeighbours(t *testing.T) {
	team, team2 := space(t, "team"), space(t, "team-2")
	rev, err := team.Revision("a-2", 1)
	if err != nil {
		t.Fatal(err)
	}
	prefix, err := team.Revisions("a")
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(rev, prefix) {
		t.Errorf("%s matches %s", prefix, rev)
	}
	if strings.HasPrefix(team2.Prefix(KindService), string(team)) {
		t.Errorf("%s matches %s", team, team2.Prefix(KindService))
	}
	for _, p := range []string{string(team), team.Prefix(KindService), team.Prefix(KindDecorator), team.Prefix(KindRunner), team.Prefix(KindCore), prefix} {
		if !strings.HasSuffix(p, "/") {
			t.Errorf("prefix %s does not end in a slash", p)
		}
	}
	key, err := team2.Service("a")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := team.Parse(key); ok {
		t.Errorf("team reads %s as its own", key)
	}
	if _, ok := team2.Parse(key); !ok {
		t.Errorf("team-2 does not read %s", key)
	}
}

func TestRevisionsSort(t *testing.T) {
	s := space(t, "main")
	var got []string
	for _, n := range []uint64{1, 2, 9, 10, 99, 100, 1 << 40, math.MaxUint64} {
		key, err := s.Revision("a", n)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, key)
	}
	if !slices.IsSorted(got) {
		t.Errorf("revisions do not sort: %v", got)
	}
}

func TestRoundTrip(t *testing.T) {
	name := rapid.StringMatching(`[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?`)
	rapid.Check(t, func(t *rapid.T) {
		s, err := NewSpace(name.Draw(t, "cluster"))
		if err != nil {
			t.Fatal(err)
		}
		k := Key{Kind: Kind(rapid.IntRange(int(KindService), int(KindAuditChain)).Draw(t, "kind")), Space: s, Name: name.Draw(t, "name")}
		switch k.Kind {
		case KindRevision, KindDecoratorRevision, KindAuditRecord:
			k.Number = rapid.Uint64().Draw(t, "number")
		case KindModuleChunk:
			k.Number = rapid.Uint64Range(0, MaxChunk).Draw(t, "chunk")
			k.Name = rapid.StringMatching(`[0-9a-f]{64}`).Draw(t, "digest")
		case KindModuleManifest:
			k.Name = rapid.StringMatching(`[0-9a-f]{64}`).Draw(t, "digest")
		case KindFormat:
			k.Name = ""
		}
		key := k.String()
		if key == "" {
			t.Fatalf("%+v has no key", k)
		}
		if back, ok := Parse(key); !ok || back != k {
			t.Fatalf("%s parses to %+v, %t, want %+v", key, back, ok, k)
		}
	})
}

func FuzzParse(f *testing.F) {
	s := space(f, "main")
	for _, name := range hostile {
		f.Add(s.Prefix(KindService) + name)
		f.Add("/ruedo/" + name + "/services/a")
		f.Add("/ruedo/main/revisions/" + name + "/00000000000000000001")
	}
	f.Add("/ruedo/main/revisions/a/1")
	f.Add("/ruedo/main/revisions/a/+0000000000000000001")
	f.Add("/ruedo/main/revisions/a/99999999999999999999")
	f.Add("/ruedo/main/leader/a/0001")
	f.Add("/ruedo/main/audit/a/00000000000000000001")
	f.Add("/ruedo/main/audit/a")
	f.Add("/ruedo/main/modules/" + digest + "/chunks/000000")
	f.Add("/ruedo/main/modules/" + digest + "/manifest/")
	f.Add(s.Format())
	f.Fuzz(func(t *testing.T, key string) {
		k, ok := Parse(key)
		if !ok {
			if k != (Key{}) {
				t.Fatalf("a refused key gives %+v", k)
			}
			return
		}
		if k.String() != key {
			t.Fatalf("%q parses to %+v, which builds %q", key, k, k.String())
		}
	})
}
