package keys

import (
	"strconv"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/names"
)

// Kind is the kind of thing that a key refers to.
type Kind int

// The kinds of keys. The zero Kind is invalid.
const (
	KindService Kind = iota + 1
	KindRevision
	KindModuleManifest
	KindModuleChunk
	KindDecorator
	KindRunner
	KindCore
	KindFormat
	KindDecoratorRevision
	KindLeader
	KindHandover
	KindJob
	KindCordon
	KindEvent
	KindAccess
	KindUser
	KindToken
	KindRole
	KindLink
	KindAuthority
	KindSeal
	KindAuditRecord
	KindAuditChain
)

// String returns the user's word for a kind, for example "service".
func (k Kind) String() string {
	for _, n := range named {
		if n.kind == k {
			return n.noun
		}
	}
	return "key"
}

// Key is a parsed key.
type Key struct {
	Kind  Kind
	Space Space
	// Name is the name of what the kind says, or the digest of a module. Empty for
	// the format.
	Name string
	// Number is that of a revision or of a record of the audit, or a chunk's index.
	Number uint64
}

// Parse parses a key. It returns false for every string that no builder of
// [Space] returns.
func Parse(key string) (Key, bool) {
	rest, ok := strings.CutPrefix(key, root)
	if !ok {
		return Key{}, false
	}
	cluster, rest, ok := strings.Cut(rest, "/")
	if !ok || !names.Valid(cluster) {
		return Key{}, false
	}
	dir, rest, ok := strings.Cut(rest, "/")
	if !ok {
		return Key{}, false
	}
	dir += "/"
	k := Key{Space: Space(root + cluster + "/")}
	for _, n := range named {
		if n.dir == dir {
			return k.single(n.kind, rest)
		}
	}
	switch dir {
	case dirRevisions:
		name, n, ok := strings.Cut(rest, "/")
		number, fits := unpad(n, revisionDigits)
		return k.numbered(KindRevision, name, number, ok && fits)
	case dirDecoratorRevisions:
		name, n, ok := strings.Cut(rest, "/")
		number, fits := unpad(n, revisionDigits)
		return k.numbered(KindDecoratorRevision, name, number, ok && fits)
	case dirAudit:
		name, n, ok := strings.Cut(rest, "/")
		number, fits := unpad(n, revisionDigits)
		return k.numbered(KindAuditRecord, name, number, ok && fits)
	case dirModules:
		return k.module(rest)
	case dirMeta:
		k.Kind = KindFormat
		return only(k, rest == leafFormat)
	}
	return Key{}, false
}

// Parse parses a key of this space. It returns false for keys of other
// clusters, too.
func (s Space) Parse(key string) (Key, bool) {
	k, ok := Parse(key)
	return only(k, ok && k.Space == s)
}

// String returns the key as a string; empty if the parts are not valid.
func (k Key) String() string {
	var key string
	var err error
	switch k.Kind {
	case KindRevision:
		key, err = k.Space.Revision(k.Name, k.Number)
	case KindDecoratorRevision:
		key, err = k.Space.DecoratorRevision(k.Name, k.Number)
	case KindAuditRecord:
		key, err = k.Space.AuditRecord(k.Name, k.Number)
	case KindModuleManifest:
		key, err = k.Space.ModuleManifest(k.Name)
	case KindModuleChunk:
		key, err = k.Space.ModuleChunk(k.Name, int(min(k.Number, MaxChunk+1)))
	case KindFormat:
		key = k.Space.Format()
	default:
		key, err = k.Space.Key(k.Kind, k.Name)
	}
	if err != nil {
		return ""
	}
	return key
}

func (k Key) single(kind Kind, name string) (Key, bool) {
	k.Kind, k.Name = kind, name
	return only(k, names.Valid(name))
}

func (k Key) numbered(kind Kind, name string, n uint64, ok bool) (Key, bool) {
	k.Kind, k.Name, k.Number = kind, name, n
	return only(k, ok && names.Valid(name))
}

func (k Key) module(rest string) (Key, bool) {
	digest, leaf, _ := strings.Cut(rest, "/")
	k.Name = digest
	if !names.ValidDigest(digest) {
		return Key{}, false
	}
	if leaf == leafManifest {
		k.Kind = KindModuleManifest
		return k, true
	}
	i, ok := strings.CutPrefix(leaf, leafChunks)
	if !ok {
		return Key{}, false
	}
	k.Kind = KindModuleChunk
	k.Number, ok = unpad(i, chunkDigits)
	return only(k, ok)
}

func only(k Key, ok bool) (Key, bool) {
	if !ok {
		return Key{}, false
	}
	return k, true
}

// unpad parses a number of exactly that many digits, without a sign.
func unpad(s string, digits int) (uint64, bool) {
	if len(s) != digits || strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) >= 0 {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}
