package cache

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// keySize is the size of the key in bytes, that of SHA-256's result.
const keySize = 32

var errIrregular = errors.New("it is not a regular file")

func newKey() ([]byte, error) {
	key := make([]byte, keySize)
	_, err := rand.Read(key)
	return key, err
}

// loadKey reads the key, or creates one. The caller holds the lock of its
// directory. A key that others could read, or that is damaged, is replaced by a
// new one, and all code is compiled again.
func loadKey(path string) ([]byte, error) {
	key, err := readKey(path)
	if err == nil {
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errUnfit) {
		return nil, err
	}
	if key, err = newKey(); err != nil {
		return nil, err
	}
	return key, saveKey(path, key)
}

func saveKey(path string, key []byte) error {
	return writeFile(path, true, func(w io.Writer) error {
		_, err := w.Write(key)
		return err
	})
}

var errUnfit = errors.New("the key is unfit")

func readKey(path string) ([]byte, error) {
	f, st, err := openRegular(path)
	if errors.Is(err, errIrregular) {
		return nil, fmt.Errorf("%w: %w", errUnfit, err)
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	if st.Size() != keySize || !owned(st) || locks && st.Mode().Perm()&0o077 != 0 {
		return nil, errUnfit
	}
	key := make([]byte, keySize)
	_, err = io.ReadFull(f, key)
	return key, err
}

// checkRegular closes the file unless it is a regular file.
func checkRegular(f *os.File) (*os.File, os.FileInfo, error) {
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = errIrregular
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, st, nil
}
