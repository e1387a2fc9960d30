package access_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestParse(t *testing.T) {
	for _, text := range []string{"call service greet", "call service team-a-*", "* * *", "read * *", "write user ada", "use decorator small", "* service team-*", "execute service *"} {
		g, err := access.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if g.String() != text {
			t.Errorf("%q is written as %q", text, g)
		}
	}
	for text, want := range map[string]string{
		"":                        "it does not have three words",
		"call service":            "it does not have three words",
		"call service greet now":  "it does not have three words",
		"invoke service greet":    `"invoke" is not a verb`,
		"call services greet":     `"services" is not a noun`,
		"call user ada":           "nobody can call a user",
		"execute runner *":        "nobody can execute a runner",
		"call service team*":      `"team*" is not a pattern`,
		"call service -*":         `"-*" is not a pattern`,
		"call service *-a":        `"*-a" is not a pattern`,
		"call service te-*-a":     `"te-*-a" is not a pattern`,
		"call service Greet":      `"Greet" is not a pattern`,
		"unspecified service a":   `"unspecified" is not a verb`,
		"call unspecified greet":  `"unspecified" is not a noun`,
		"call service greet\x00a": "is not a pattern",
	} {
		_, err := access.Parse(text)
		testkit.WantReason(t, err, fault.GrantInvalid, want)
	}
}

func set(t testing.TB, grants ...string) access.Set {
	t.Helper()
	s, err := access.ParseAll(grants)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAllows(t *testing.T) {
	s := set(t, "call service team-a-*", "read service public", "* decorator small")
	for _, c := range []struct {
		verb access.Verb
		noun access.Noun
		name string
		want bool
	}{
		{access.Call, access.Service, "team-a-greet", true},
		{access.Call, access.Service, "team-a", false},
		{access.Call, access.Service, "team-ab", false},
		{access.Call, access.Service, "team-b-greet", false},
		{access.Read, access.Service, "team-a-greet", false},
		{access.Read, access.Service, "public", true},
		{access.Read, access.Service, "public-2", false},
		{access.Use, access.Decorator, "small", true},
		{access.Write, access.Decorator, "small", true},
		{access.Write, access.Decorator, "large", false},
		{access.Read, access.User, "small", false},
	} {
		if got := s.Allows(c.verb, c.noun, c.name); got != c.want {
			t.Errorf("%s %s %s: %t", access.VerbWord(c.verb), access.NounWord(c.noun), c.name, got)
		}
	}
	if !s.Sees(access.Service, "team-a-greet") || s.Sees(access.Service, "team-b-greet") || s.Sees(access.User, "small") {
		t.Error("what is seen is not what some grant is about")
	}
	if !s.Some(access.Call, access.Service) || s.Some(access.Call, access.Runner) || s.Some(access.Execute, access.Service) {
		t.Error("some")
	}
}

func TestSeveralGrantsCoverOne(t *testing.T) {
	s := set(t, "read service *", "write service *", "call service *", "execute service *")
	for text, want := range map[string]bool{
		"* service team-a-*": true, "call service *": true, "* * *": false, "* decorator small": false, "call * *": true,
	} {
		g, err := access.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if s.Covers(g) != want {
			t.Errorf("covers %s: %t", text, !want)
		}
	}
	if g, exceeds := s.Exceeding(set(t, "call service a", "write user b")); !exceeds || g.String() != "write user b" {
		t.Errorf("exceeding: %s, %t", g, exceeds)
	}
}

// rapidNames are names that grants of rapidGrant are about.
var rapidNames = []string{"a", "a-b", "a-b-c", "b", "b-a"}

func rapidGrant() *rapid.Generator[access.Grant] {
	patterns := append([]string{"*", "a-*", "a-b-*", "b-*"}, rapidNames...)
	return rapid.Custom(func(r *rapid.T) access.Grant {
		for {
			text := fmt.Sprintf("%s %s %s", rapid.SampledFrom(access.Verbs()).Draw(r, "verb"), rapid.SampledFrom(access.Nouns()).Draw(r, "noun"), rapid.SampledFrom(patterns).Draw(r, "pattern"))
			if g, err := access.Parse(text); err == nil {
				return g
			}
		}
	})
}

func rapidSet(r *rapid.T, label string) access.Set {
	return access.Set(rapid.SliceOfN(rapidGrant(), 0, 6).Draw(r, label))
}

// Whoever holds what is to be given away can do everything that it allows.
func TestCoveringIsSound(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		holder := rapidSet(r, "holder")
		given := rapidGrant().Draw(r, "given")
		if !holder.Covers(given) {
			return
		}
		for verb := access.Read; verb <= access.Execute; verb++ {
			for noun := access.Service; noun <= access.Issuer; noun++ {
				for _, name := range rapidNames {
					one, err := access.Parse(access.Grant{Verb: verb, Noun: noun, Pattern: name}.String())
					if err != nil { // nobody can do this
						continue
					}
					if (access.Set{given}).Allows(one.Verb, one.Noun, name) && !holder.Allows(one.Verb, one.Noun, name) {
						r.Fatalf("%s covers %s, but does not allow %s", holder.Strings(), given, one)
					}
				}
			}
		}
	})
}

// What two sets both allow is what their narrowed set allows, name by name.
func TestNarrowIsWhatBothAllow(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{"* * *", "call service team-a-*", "call service team-a-*"},
		{"call service team-*", "call service team-a-*", "call service team-a-*"},
		{"read * ada", "* user *", "read user ada"},
		{"call service a", "call service b", ""},
		{"call * *", "* decorator small", ""}, // nobody can call a decorator
		{"call service team-a-*", "read service *", ""},
	} {
		for _, pair := range [][2]string{{c.a, c.b}, {c.b, c.a}} {
			got := strings.Join(set(t, pair[0]).Narrow(set(t, pair[1])).Strings(), ", ")
			if got != c.want {
				t.Errorf("%q narrowed by %q is %q, not %q", pair[0], pair[1], got, c.want)
			}
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		a, b := rapidSet(r, "a"), rapidSet(r, "b")
		both := a.Narrow(b)
		for _, g := range both {
			if _, err := access.Parse(g.String()); err != nil {
				r.Fatalf("%s narrowed by %s has %s: %v", a.Strings(), b.Strings(), g, err)
			}
		}
		for verb := access.Read; verb <= access.Execute; verb++ {
			for noun := access.Service; noun <= access.Issuer; noun++ {
				for _, name := range rapidNames {
					if _, err := access.Parse(access.Grant{Verb: verb, Noun: noun, Pattern: name}.String()); err != nil {
						continue
					}
					if got, want := both.Allows(verb, noun, name), a.Allows(verb, noun, name) && b.Allows(verb, noun, name); got != want {
						r.Fatalf("%s narrowed by %s: %s %s %s is %t", a.Strings(), b.Strings(), access.VerbWord(verb), access.NounWord(noun), name, got)
					}
				}
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("call service team-a-*")
	f.Add("* * *")
	f.Fuzz(func(t *testing.T, text string) {
		g, err := access.Parse(text)
		if err != nil {
			return
		}
		if again, err := access.Parse(g.String()); err != nil || again != g {
			t.Errorf("%q is read as %v, and that as %v, %v", text, g, again, err)
		}
	})
}
