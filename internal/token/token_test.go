package token_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/internal/token"
)

// good is a token that is not new: its text never changes its meaning.
const good = "ruedo_t_7kq2m5x4tb_abcdefghijklmnopqrstuvwxyz" + "1cce6c96"

func TestNewTokens(t *testing.T) {
	seen := make(map[string]bool)
	for _, kind := range []token.Kind{token.Bearer, token.Invite, token.Join} {
		one := token.New(kind)
		text := one.Reveal()
		if !regexp.MustCompile(`^ruedo_[tij]_[a-z2-7]{10}_[a-z2-7]{26}[0-9a-f]{8}$`).MatchString(text) {
			t.Errorf("%s: %s", kind, text)
		}
		again, err := token.Parse(kind, text)
		if err != nil || again.Reveal() != text || again.Hash() != sha256.Sum256([]byte(text)) {
			t.Errorf("%s is read as %s, %v", text, again.Reveal(), err)
		}
		if id := again.ID(); len(id) != 10 || seen[id] || !strings.Contains(text, "_"+id+"_") {
			t.Errorf("the id of %s is %s", text, id)
		}
		seen[again.ID()] = true
	}
}

// What a core looks up and compares is the same, whether or not the rest was read.
func TestShown(t *testing.T) {
	one := token.New(token.Bearer)
	if id, hash, ok := token.Shown(token.Bearer, one.Reveal()); !ok || id != one.ID() || hash != one.Hash() {
		t.Errorf("%s is shown as %s, %t", one, id, ok)
	}
	mistyped := strings.Replace(good, "tb_a", "tb_b", 1)
	if _, hash, ok := token.Shown(token.Bearer, mistyped); !ok || hash != sha256.Sum256([]byte(mistyped)) {
		t.Error("the hash of a text that is mistyped is that of another one")
	}
	for _, text := range []string{"", "ruedo_", good[1:], good[:len(good)-1], good + "a", token.New(token.Invite).Reveal(), strings.ToUpper(good)} {
		if id, _, ok := token.Shown(token.Bearer, text); ok || id != "" {
			t.Errorf("%s can be a token", text)
		}
	}
}

func TestATokenIsRenewedUnderItsID(t *testing.T) {
	one := token.New(token.Bearer)
	again, err := token.Renew(token.Bearer, one.ID())
	if err != nil || again.ID() != one.ID() || again.Hash() == one.Hash() {
		t.Errorf("%s is renewed as %s, %v", one, again, err)
	}
	for _, id := range []string{"", "short", "7kq2m5x4tb7", "7KQ2M5X4TB", "7kq2m5_4tb"} {
		if _, err := token.Renew(token.Bearer, id); err == nil {
			t.Errorf("a token with the id %q", id)
		}
	}
}

func TestParse(t *testing.T) {
	if _, err := token.Parse(token.Bearer, good); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		kind       token.Kind
		text, want string
	}{
		"nothing":            {token.Bearer, "", "does not begin with ruedo_"},
		"something else":     {token.Bearer, "ghp_7kq2m5x4tb", "does not begin with ruedo_"},
		"cut off early":      {token.Bearer, good[:8], "cut off after 8 of 53 characters"},
		"cut off":            {token.Bearer, good[:40], "cut off after 40 of 53 characters"},
		"one is missing":     {token.Bearer, good[:52], "cut off after 52 of 53 characters"},
		"too long":           {token.Bearer, good + "\n", "54 characters instead of 53"},
		"an invite":          {token.Bearer, token.New(token.Invite).Reveal(), "another kind (invite)"},
		"not an invite":      {token.Invite, good, "another kind (token)"},
		"of a core":          {token.Bearer, "ruedo_c_core-1.1.x", "does not begin with ruedo_t_"},
		"mistyped":           {token.Bearer, strings.Replace(good, "abc", "abd", 1), "check digits do not fit"},
		"two were swapped":   {token.Bearer, strings.Replace(good, "abc", "acb", 1), "check digits do not fit"},
		"the check itself":   {token.Bearer, good[:52] + "f", "check digits do not fit"},
		"capitals":           {token.Bearer, strings.Replace(good, "abc", "ABC", 1), "a character that it cannot have"},
		"not base32":         {token.Bearer, strings.Replace(good, "abc", "a1c", 1), "a character that it cannot have"},
		"not UTF-8":          {token.Bearer, strings.Replace(good, "abc", "a\xffc", 1), "a character that it cannot have"},
		"an underscore less": {token.Bearer, strings.Replace(good, "tb_abc", "tbaabc", 1), "a character that it cannot have"},
	} {
		_, err := token.Parse(c.kind, c.text)
		testkit.WantReason(t, err, fault.TokenInvalid, c.want)
		if strings.Contains(err.Error(), "efghi") {
			t.Errorf("%s: the error has the secret: %v", name, err)
		}
	}
}

// However a token gets into a text, its secret does not.
func TestASecretShowsOnlyIfItIsAskedTo(t *testing.T) {
	one, err := token.Parse(token.Bearer, good)
	if err != nil {
		t.Fatal(err)
	}
	link, err := token.NewLink("https://core-1:7833", one, "")
	if err != nil {
		t.Fatal(err)
	}
	type holder struct {
		Public  token.Token
		private token.Token
		Link    token.Link
		link    *token.Link
	}
	h := holder{one, one, link, &link}
	var texts []string
	for _, verb := range []string{"%s", "%v", "%+v", "%#v", "%q", "%x", "%d"} {
		texts = append(texts, fmt.Sprintf(verb, one), fmt.Sprintf(verb, &one), fmt.Sprintf(verb, link), fmt.Sprintf(verb, h), fmt.Sprintf(verb, &h))
	}
	encoded, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("", "token", one, "link", link, "holder", h)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("", "token", one, "link", link, "holder", h)
	for _, text := range append(texts, string(encoded), log.String()) {
		if strings.Contains(text, "mnopq") || strings.Contains(text, fmt.Sprintf("%x", "mnopq")) {
			t.Errorf("the secret shows: %s", text)
		}
	}
	if got := one.String(); got != "ruedo_t_7kq2m5x4tb_[redacted]" {
		t.Errorf("shown as %s", got)
	}
	var none token.Token
	if none.String()+none.Reveal()+none.ID() != "" {
		t.Error("the zero token has a text")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(good)
	f.Add("ruedo_i_")
	f.Add(strings.Repeat("ruedo_t_", 8))
	f.Fuzz(func(t *testing.T, text string) {
		for _, kind := range []token.Kind{token.Bearer, token.Invite, token.Join} {
			one, err := token.Parse(kind, text)
			if err == nil && (one.Reveal() != text || len(one.ID()) != 10) {
				t.Errorf("%q is read as %q", text, one.Reveal())
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		one, err := token.Parse(token.Bearer, good)
		if err != nil || one.Hash() == [32]byte{} {
			b.Fatal(err)
		}
	}
}
