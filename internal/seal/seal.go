// Package seal keeps secrets in the store so that only cores can read them.
//
//	key, err := source.LoadOrMake()          // outside the store, for the first core
//	ring, err := seal.New()                  // made once in a cluster
//	file, err := ring.Wrap(key.Recipients()) // what is stored of it
//
//	ring, err = seal.Unwrap(file, key)       // each core, at its start
//	sealed := ring.Seal(at, value)           // at is the full key in the store
//	value, err = ring.Open(at, sealed)       // only at the same key
//
// The seal key opens the keyring, and the keys of the keyring do everything else. So
// the seal key can be replaced without touching a sealed value.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

const (
	// keySize is the length of every key of a keyring, in bytes.
	keySize = 32
	// maxKeyring bounds the content of a keyring, in bytes.
	maxKeyring = 1 << 20
	// headSize is the length of the number of the key in front of a sealed value.
	headSize = 4
)

// Names of the keys of a keyring. A number follows the one for data: the highest one
// seals, and all of them open.
const (
	auditKey = "audit"
	coreKey  = "core"
	dataKey  = "data-"
)

// Keyring is the keys of a cluster. It is immutable, and does not show its keys when it
// is printed.
type Keyring struct {
	keys   map[string][]byte // with those that only newer cores know
	data   map[uint32]cipher.AEAD
	newest uint32
}

// New returns a keyring with new keys.
func New() (*Keyring, error) {
	keys := make(map[string][]byte)
	for _, name := range []string{auditKey, coreKey, dataKey + "1"} {
		keys[name] = make([]byte, keySize)
		_, _ = rand.Read(keys[name]) // it never fails
	}
	return ringOf(keys)
}

func ringOf(keys map[string][]byte) (*Keyring, error) {
	k := &Keyring{keys: keys, data: make(map[uint32]cipher.AEAD)}
	for name, key := range keys {
		number, ok := strings.CutPrefix(name, dataKey)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return nil, damaged(err)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, damaged(err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, damaged(err)
		}
		k.data[uint32(n)] = aead
		k.newest = max(k.newest, uint32(n))
	}
	if len(k.data) == 0 || len(keys[auditKey]) != keySize || len(keys[coreKey]) != keySize {
		return nil, damaged(fmt.Errorf("%d keys, and one is missing", len(keys)))
	}
	return k, nil
}

func damaged(err error) *fault.Error {
	return fault.Wrap(err, fault.Integrity, "the keyring of the cluster is damaged").WithFix("restore it from a backup of the store")
}

// Unwrap opens the file of a keyring. Errors: SEAL_KEY_WRONG; INTEGRITY if the file is
// damaged.
func Unwrap(file []byte, key *Key) (*Keyring, error) {
	content, err := key.open(file)
	if err != nil {
		return nil, err
	}
	var keys map[string][]byte
	if err := json.Unmarshal(content, &keys); err != nil {
		return nil, damaged(nil) // the cause might quote a key
	}
	return ringOf(keys)
}

// Wrap returns the file of the keyring, which the seal keys with these public keys
// open.
func (k *Keyring) Wrap(recipients []string) ([]byte, error) {
	content, err := json.Marshal(k.keys)
	if err != nil {
		return nil, err
	}
	return wrap(content, recipients)
}

// Seal encrypts a value that will be stored under a key of the store, at.
func (k *Keyring) Seal(at string, value []byte) []byte {
	head := binary.BigEndian.AppendUint32(nil, k.newest)
	return k.data[k.newest].Seal(head, nil, value, []byte(at))
}

// Open decrypts a value that is stored at a key. It fails with INTEGRITY if the value
// was changed, or was sealed for another key or in another cluster.
func (k *Keyring) Open(at string, sealed []byte) ([]byte, error) {
	if len(sealed) < headSize {
		return nil, fault.New(fault.Integrity, "the sealed value at %s is cut off", at)
	}
	number := binary.BigEndian.Uint32(sealed)
	aead, ok := k.data[number]
	if !ok {
		return nil, fault.New(fault.Integrity, "the value at %s is sealed with key %d, which is not in the keyring", at, number)
	}
	value, err := aead.Open(nil, nil, sealed[headSize:], []byte(at))
	if err != nil {
		return nil, fault.Wrap(err, fault.Integrity, "the sealed value at %s was changed, or belongs elsewhere", at)
	}
	return value, nil
}

// Audit returns the key of the audit's chains.
func (k *Keyring) Audit() []byte { return k.keys[auditKey] }

// Core returns the key by which cores recognize each other.
func (k *Keyring) Core() []byte { return k.keys[coreKey] }

// Format prints how many keys there are, whatever the verb.
func (k *Keyring) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "keyring of %d keys", len(k.keys))
}
