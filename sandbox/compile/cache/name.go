package cache

import (
	"fmt"
	"path/filepath"
	"regexp"
)

// codeName is the path of a file of code in the directory of a wazero cache.
var codeName = regexp.MustCompile(`^wazero-[A-Za-z0-9._+()-]{1,200}/[0-9a-f]{64}$`)

// CodeFile returns the single file that wazero wrote into the cache in dir, as
// a slash-separated path relative to it; "" if there is none, as with wazero's
// interpreter.
func CodeFile(dir string) (string, error) {
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
		return "", fmt.Errorf("the compiler wrote a file with a name that is not expected: %.400q", name)
	}
	return name, nil
}
