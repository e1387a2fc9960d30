package compile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/tetratelabs/wazero"

	"github.com/ruedo-dev/ruedo/sandbox/compile/cache"
)

// identity identifies for what code is compiled. Two processes with the same
// identity agree on the code of any module, and on where wazero finds it.
//
// wazero names a file by the module, by whether termination is ensured, and by
// CPU features that it does not export, in a directory named after version and
// platform. The file that it creates for the empty module has all of these in
// its name. What changes the code without changing that name is added: the
// other settings, and Go's version.
type identity string

// empty is the smallest module.
var empty = []byte("\x00asm\x01\x00\x00\x00")

// identify returns the identity of this process. It makes dir and removes it.
func identify(dir string, config func() wazero.RuntimeConfig) (id identity, err error) {
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if _, err := translate(context.Background(), config, dir, empty); err != nil {
		return "", fmt.Errorf("trying the compiler: %w", err)
	}
	name, err := cache.CodeFile(dir)
	if err != nil {
		return "", err
	}
	// The settings are private fields, but as text they can be compared.
	settings := fmt.Sprintf("%+v", config().WithCompilationCache(nil))
	return identity(fmt.Sprintf("1 %s %s %s/%s %s", name, runtime.Version(), runtime.GOOS, runtime.GOARCH, settings)), nil
}

// key identifies the code of a module compiled for this identity.
func (id identity) key(wasm []byte) string {
	module := sha256.Sum256(wasm)
	h := sha256.New()
	h.Write([]byte(id))
	h.Write([]byte{0})
	h.Write(module[:])
	return hex.EncodeToString(h.Sum(nil))
}
