package cache

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
)

// A sealed file is
//
//	sealMagic
//	the length of name, 2 bytes, big-endian
//	name: where the code lies in a cache of wazero
//	the code
//	HMAC-SHA256 of sealDomain, the entry's key and all of the above
//
// The entry's key is part of the HMAC and not of the file: an entry in the
// place of another one is not authentic.
const (
	sealMagic  = "ruedo compiled 1"
	sealDomain = "ruedo sandbox/compile entry 1\x00"
	maxName    = 512
	sealMin    = int64(len(sealMagic)) + 2 + 1 + sha256.Size
)

// MaxCode bounds the compiled form of one module, in bytes.
const MaxCode = 1 << 30

// errForged means that a file is not what was sealed.
var errForged = errors.New("it is not what was written there")

func newMAC(secret []byte, key string) hash.Hash {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(sealDomain))
	mac.Write([]byte(key))
	return mac
}

// seal writes code as a sealed file.
func seal(w io.Writer, secret []byte, key, name string, code io.Reader) error {
	if len(name) > maxName {
		return fmt.Errorf("the name of the code has %d bytes, the limit is %d", len(name), maxName)
	}
	mac := newMAC(secret, key)
	both := io.MultiWriter(w, mac)
	head := binary.BigEndian.AppendUint16([]byte(sealMagic), uint16(len(name)))
	if _, err := both.Write(append(head, name...)); err != nil {
		return err
	}
	if _, err := io.CopyBuffer(both, code, make([]byte, copyBuffer)); err != nil {
		return err
	}
	_, err := w.Write(mac.Sum(nil))
	return err
}

// unseal copies the code of a sealed file of the given size to w and returns its
// name. What was written is authentic only if the error is nil; errForged means
// that the file is not.
func unseal(w io.Writer, secret []byte, key string, r io.Reader, size int64) (name string, err error) {
	if size < sealMin || size > MaxCode+sealMin+maxName {
		return "", fmt.Errorf("%w: it has %d bytes", errForged, size)
	}
	mac := newMAC(secret, key)
	body := io.TeeReader(io.LimitReader(r, size-sha256.Size), mac)
	head := make([]byte, len(sealMagic)+2)
	if _, err := io.ReadFull(body, head); err != nil {
		return "", short(err)
	}
	n := int64(binary.BigEndian.Uint16(head[len(sealMagic):]))
	if string(head[:len(sealMagic)]) != sealMagic || n > maxName || size < sealMin-1+n {
		return "", fmt.Errorf("%w: its head is damaged", errForged)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(body, text); err != nil {
		return "", short(err)
	}
	if _, err := io.CopyBuffer(onlyWriter{w}, body, make([]byte, copyBuffer)); err != nil {
		return "", err
	}
	sum := make([]byte, sha256.Size)
	if _, err := io.ReadFull(r, sum); err != nil {
		return "", short(err)
	}
	if !hmac.Equal(sum, mac.Sum(nil)) {
		return "", errForged
	}
	if !codeName.Match(text) {
		return "", fmt.Errorf("%w: it has no name", errForged)
	}
	return string(text), nil
}

// copyBuffer is how many bytes of a module's code are in memory at a time.
const copyBuffer = 256 << 10

// onlyWriter hides ReadFrom, which would ignore the buffer.
type onlyWriter struct{ io.Writer }

// short treats the early end of a file as a forgery.
func short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends early", errForged)
	}
	return err
}
