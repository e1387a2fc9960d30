package compile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"

	"github.com/tetratelabs/wazero"
)

// identity says for whom code is made. Two processes with the same identity
// agree on the code of any module, and on where wazero looks for it.
//
// wazero names a file by the module, by whether termination is ensured, and by
// CPU features that it tells nobody, in a directory named by version and
// platform. The file that it makes for the empty module has all of these in its
// name. What changes the code without changing that name is added: the other
// settings, and Go's version.
type identity string

// empty is the smallest module.
var empty = []byte("\x00asm\x01\x00\x00\x00")

// identify finds out the identity of this process. It makes dir and removes it.
func identify(dir string, config func() wazero.RuntimeConfig) (id identity, err error) {
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if _, err := translate(context.Background(), config, dir, empty); err != nil {
		return "", fmt.Errorf("trying the compiler: %w", err)
	}
	name, err := codeFile(dir)
	if err != nil {
		return "", err
	}
	// The settings are private fields; as text they are comparable all the same.
	settings := fmt.Sprintf("%+v", config().WithCompilationCache(nil))
	return identity(fmt.Sprintf("1 %s %s %s/%s %s", name, runtime.Version(), runtime.GOOS, runtime.GOARCH, settings)), nil
}

// key names the code of a module made for this identity.
func (id identity) key(wasm []byte) string {
	module := sha256.Sum256(wasm)
	h := sha256.New()
	h.Write([]byte(id))
	h.Write([]byte{0})
	h.Write(module[:])
	return hex.EncodeToString(h.Sum(nil))
}

// codeName is the path of a file of code in the directory of a wazero cache.
var codeName = regexp.MustCompile(`^wazero-[A-Za-z0-9._+()-]{1,200}/[0-9a-f]{64}$`)

// codeFile finds the one file that wazero wrote into the cache in dir, as a path
// in it with slashes; empty if there is none, as with wazero's interpreter.
func codeFile(dir string) (string, error) {
	found, err := filepath.Glob(filepath.Join(dir, "wazero-*", "*"))
	if err != nil || len(found) == 0 {
		return "", err
	}
	if len(found) > 1 {
		return "", fmt.Errorf("the compiler wrote %d files, want one", len(found))
	}
	name, err := filepath.Rel(dir, found[0])
	if err != nil {
		return "", err
	}
	if name = filepath.ToSlash(name); !codeName.MatchString(name) {
		return "", fmt.Errorf("the compiler wrote a file with a name that is not expected: %s", clean(name))
	}
	return name, nil
}
