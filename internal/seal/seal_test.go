package seal_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/seal"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

const at = "/ruedo/site-a/authorities/1"

func newKey(t *testing.T) *seal.Key {
	t.Helper()
	k, err := seal.Source{File: filepath.Join(t.TempDir(), "seal.key")}.LoadOrMake()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newRing(t *testing.T) *seal.Keyring {
	t.Helper()
	ring, err := seal.New()
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func wrapped(t *testing.T, ring *seal.Keyring, recipients ...string) []byte {
	t.Helper()
	file, err := ring.Wrap(recipients)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestASecondCoreOpensWhatTheFirstHasSealed(t *testing.T) {
	first, second := newKey(t), newKey(t)
	ring := newRing(t)
	file := wrapped(t, ring, append(first.Recipients(), second.Recipients()...)...)
	sealed := ring.Seal(at, []byte("secret"))
	if bytes.Contains(sealed, []byte("secret")) || bytes.Equal(sealed, ring.Seal(at, []byte("secret"))) {
		t.Error("the same value is sealed twice the same way, or not at all")
	}
	for _, key := range []*seal.Key{first, second} {
		other, err := seal.Unwrap(file, key)
		if err != nil {
			t.Fatal(err)
		}
		if value, err := other.Open(at, sealed); err != nil || string(value) != "secret" {
			t.Errorf("%q, %v", value, err)
		}
		if !bytes.Equal(other.Audit(), ring.Audit()) || !bytes.Equal(other.Core(), ring.Core()) || bytes.Equal(other.Audit(), other.Core()) {
			t.Error("the keys of both cores differ, or all keys are the same")
		}
	}
}

// What is sealed opens only where it was stored, whole, and in its own cluster.
func TestASealedValueBelongsToItsKey(t *testing.T) {
	ring := newRing(t)
	sealed := ring.Seal(at, []byte("secret"))
	changed := bytes.Clone(sealed)
	changed[len(changed)-1] ^= 1
	unknown := bytes.Clone(sealed)
	unknown[3] = 9
	for name, c := range map[string]struct {
		ring   *seal.Keyring
		at     string
		sealed []byte
		want   string
	}{
		"moved":           {ring, at + "0", sealed, "belongs elsewhere"},
		"another cluster": {newRing(t), at, sealed, "belongs elsewhere"},
		"changed":         {ring, at, changed, "was changed"},
		"cut off":         {ring, at, sealed[:20], "was changed"},
		"nothing left":    {ring, at, sealed[:2], "is cut off"},
		"empty":           {ring, at, nil, "is cut off"},
		"another key":     {ring, at, unknown, "sealed with key 9"},
	} {
		value, err := c.ring.Open(c.at, c.sealed)
		if err == nil {
			t.Errorf("%s: opened as %q", name, value)
		}
		testkit.WantReason(t, err, fault.Integrity, c.want)
	}
}

func TestAKeyringThatDoesNotOpen(t *testing.T) {
	key := newKey(t)
	file := wrapped(t, newRing(t), key.Recipients()...)
	_, err := seal.Unwrap(file, newKey(t))
	testkit.WantReason(t, err, fault.SealKeyWrong, "does not open the keyring")
	damaged := bytes.Clone(file)
	damaged[len(damaged)-1] ^= 1
	for _, broken := range [][]byte{damaged, file[:len(file)/2], file[:len(file)-1], nil, []byte("age-encryption.org/v1\n")} {
		_, err := seal.Unwrap(broken, key)
		testkit.WantReason(t, err, fault.Integrity, "the keyring of the cluster is damaged")
	}
	// A keyring that says something else.
	for _, content := range []string{"", "[]", "{}", `{"data-1":"AAAA","audit":"","core":""}`, `{"data-x":"AAAA"}`} {
		to, err := age.ParseX25519Recipient(key.Recipients()[0])
		if err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		w, err := age.Encrypt(&file, to)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		_, err = seal.Unwrap(file.Bytes(), key)
		testkit.WantReason(t, err, fault.Integrity, "the keyring of the cluster is damaged")
	}
	_, err = newRing(t).Wrap([]string{"age1nonsense"})
	testkit.WantReason(t, err, fault.ConfigInvalid, `"age1nonsense" is not a public key`)
}

func TestWhereTheKeyIs(t *testing.T) {
	text := func(t *testing.T) (secret, public string) {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		return id.String(), id.Recipient().String()
	}
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	inText, text1 := text(t)
	inCredentials, text2 := text(t)
	inFile, text3 := text(t)
	write("ruedo-seal-key", inCredentials+"\r\n", 0o400)
	file := write("seal.key", "# old\n"+inFile+"\n\n# new\n"+inText+"\n", 0o600)
	for name, c := range map[string]struct {
		source seal.Source
		want   string
	}{
		"the text":        {seal.Source{Text: inText, Credentials: dir, File: file}, text1},
		"the credentials": {seal.Source{Credentials: dir, File: file}, text2},
		"no credential":   {seal.Source{Credentials: t.TempDir(), File: file}, text3 + " " + text1},
		"the file":        {seal.Source{File: file}, text3 + " " + text1},
	} {
		k, err := c.source.Load()
		if err != nil || strings.Join(k.Recipients(), " ") != c.want {
			t.Errorf("%s: %v, %v", name, k, err)
		}
	}
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		source seal.Source
		reason fault.Reason
		want   string
	}{
		"missing":         {seal.Source{File: filepath.Join(dir, "none")}, fault.SealKeyMissing, "none does not exist"},
		"read by others":  {seal.Source{File: write("others", inFile, 0o640)}, fault.ConfigInvalid, "others can read the seal key"},
		"empty":           {seal.Source{File: write("empty", "\n", 0o600)}, fault.ConfigInvalid, "is not an identity of age"},
		"something else":  {seal.Source{Text: "hunter2"}, fault.ConfigInvalid, "from seal.key is not an identity of age"},
		"mistyped":        {seal.Source{Text: mistyped(inText)}, fault.ConfigInvalid, "is not an identity of age"},
		"of another kind": {seal.Source{Text: hybrid.String()}, fault.ConfigInvalid, "is not an identity of age"},
		"a directory":     {seal.Source{File: filepath.Dir(file)}, fault.ConfigInvalid, ""},
		"too long":        {seal.Source{File: write("long", strings.Repeat("#\n", 64<<10), 0o600)}, fault.ConfigInvalid, "is not an identity of age"},
	} {
		_, err := c.source.Load()
		testkit.WantReason(t, err, c.reason, c.want)
		if err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), inText[:24])) {
			t.Errorf("%s: the error has the key: %v", name, err)
		}
	}
}

// mistyped returns a text whose last letter is another one.
func mistyped(text string) string {
	if last := len(text) - 1; text[last] != 'A' {
		return text[:last] + "A"
	}
	return text[:len(text)-1] + "C"
}

func TestTheKeyIsMadeOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ruedo", "seal.key")
	var group sync.WaitGroup
	made := make([]string, 8)
	for i := range made {
		group.Go(func() {
			k, err := seal.Source{File: file}.LoadOrMake()
			if err != nil {
				t.Error(err)
				return
			}
			made[i] = strings.Join(k.Recipients(), " ")
		})
	}
	group.Wait()
	for _, other := range made[1:] {
		if other != made[0] {
			t.Errorf("two keys: %s and %s", made[0], other)
		}
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	content, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(content), made[0]) {
		t.Errorf("%s, %v", content, err)
	}
}

func TestKeysDoNotShow(t *testing.T) {
	secret, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	k, err := seal.Source{Text: secret.String()}.Load()
	if err != nil {
		t.Fatal(err)
	}
	ring := newRing(t)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		shown := fmt.Sprintf(verb+verb, k, ring)
		if shown != "seal key from seal.keykeyring of 3 keys" {
			t.Errorf("%s shows %s", verb, shown)
		}
	}
}

func FuzzOpen(f *testing.F) {
	ring, err := seal.New()
	if err != nil {
		f.Fatal(err)
	}
	good := ring.Seal(at, []byte("secret"))
	f.Add(good)
	f.Add([]byte{0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, sealed []byte) {
		if value, err := ring.Open(at, sealed); err == nil && !bytes.Equal(sealed, good) {
			t.Errorf("%x opens as %q", sealed, value)
		}
	})
}

func FuzzUnwrap(f *testing.F) {
	key, err := seal.Source{File: filepath.Join(f.TempDir(), "seal.key")}.LoadOrMake()
	if err != nil {
		f.Fatal(err)
	}
	ring, err := seal.New()
	if err != nil {
		f.Fatal(err)
	}
	file, err := ring.Wrap(key.Recipients())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Fuzz(func(t *testing.T, file []byte) {
		if ring, err := seal.Unwrap(file, key); err == nil && len(ring.Audit()) != 32 {
			t.Error("a keyring without keys")
		}
	})
}
