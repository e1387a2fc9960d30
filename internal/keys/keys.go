// Package keys is the only place that spells etcd keys.
//
// Begin with [NewSpace], which checks a cluster id; its methods build every
// key and prefix of that cluster, and [Parse] reads a key back:
//
//	space, err := keys.NewSpace("main")
//	key, err := space.Service("greet") // /ruedo/main/services/greet
//
// # Layout
//
//	/ruedo/<cluster>/services/<name>
//	/ruedo/<cluster>/revisions/<name>/<n>           n has 20 digits, so that it sorts
//	/ruedo/<cluster>/modules/<sha256>/manifest
//	/ruedo/<cluster>/modules/<sha256>/chunks/<i>    i has 6 digits
//	/ruedo/<cluster>/decorators/<name>
//	/ruedo/<cluster>/decorator-revisions/<name>/<n>
//	/ruedo/<cluster>/runners/<id>
//	/ruedo/<cluster>/cores/<id>
//	/ruedo/<cluster>/leader/cluster
//	/ruedo/<cluster>/handover/cluster
//	/ruedo/<cluster>/jobs/<name>
//	/ruedo/<cluster>/cordons/<runner>
//	/ruedo/<cluster>/events/<id>
//	/ruedo/<cluster>/access/cluster
//	/ruedo/<cluster>/users/<name>
//	/ruedo/<cluster>/tokens/<id>
//	/ruedo/<cluster>/roles/<name>
//	/ruedo/<cluster>/links/<id>
//	/ruedo/<cluster>/authorities/<n>
//	/ruedo/<cluster>/seal/keyring
//	/ruedo/<cluster>/audit/<chain>/<n>              n has 20 digits
//	/ruedo/<cluster>/audit-chains/<chain>           the last record of a chain
//	/ruedo/<cluster>/meta/format
//
// # Promises
//
// A key can only be built from names that pass [names.Valid], so that no name
// reaches into another's keys: there is no key for "..", "a/b" or a name with a
// NUL. Every prefix ends in a slash, so that team never matches team-2. Parse
// is the exact inverse: it accepts only what the builders return. The package
// does no I/O.
package keys

import (
	"fmt"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/names"
)

// root is the prefix of all keys of all clusters.
const root = "/ruedo/"

// Directories under a cluster whose keys have more parts than a name.
const (
	dirRevisions          = "revisions/"
	dirDecoratorRevisions = "decorator-revisions/"
	dirModules            = "modules/"
	dirAudit              = "audit/"
	dirMeta               = "meta/"
)

// named are the kinds whose keys are a directory and a name. A new kind is one
// row here.
var named = [...]struct {
	kind      Kind
	dir, noun string
}{
	{KindService, "services/", "service"},
	{KindDecorator, "decorators/", "decorator"},
	{KindRunner, "runners/", "runner"},
	{KindCore, "cores/", "core"},
	{KindLeader, "leader/", "leader"},
	{KindHandover, "handover/", "handover"},
	{KindJob, "jobs/", "job"},
	{KindCordon, "cordons/", "cordon"},
	{KindEvent, "events/", "event"},
	{KindAccess, "access/", "access"},
	{KindUser, "users/", "user"},
	{KindToken, "tokens/", "token"},
	{KindRole, "roles/", "role"},
	{KindLink, "links/", "link"},
	{KindAuthority, "authorities/", "authority"},
	{KindSeal, "seal/", "seal"},
	{KindAuditChain, "audit-chains/", "audit chain"},
}

// Names of what a cluster has one of.
const (
	// TheLeader is the name of the leader of the whole cluster, and of its handover.
	TheLeader = "cluster"
	// TheAccess is the name of what holds for all logins.
	TheAccess = "cluster"
	// TheKeyring is the name of what seals secrets.
	TheKeyring = "keyring"
)

// Last parts of keys that have a fixed name.
const (
	leafManifest = "manifest"
	leafChunks   = "chunks/"
	leafFormat   = "format"
)

// Digits of the zero-padded numbers in keys.
const (
	revisionDigits = 20
	chunkDigits    = 6
)

// MaxChunk is the highest index of a module's chunk.
const MaxChunk = 999_999

// Space is the part of etcd that belongs to one cluster. Make one with
// [NewSpace]; the zero Space is not usable.
type Space string

// NewSpace returns the space of a cluster id. It fails with CONFIG_INVALID if
// the id does not match the pattern of names.
func NewSpace(cluster string) (Space, error) {
	if !names.Valid(cluster) {
		return "", fault.New(fault.ConfigInvalid, "cluster id %s is not valid: %s", Quote(cluster), names.Rule).
			WithFix("choose an id such as main or edge-1")
	}
	return Space(root + cluster + "/"), nil
}

// Cluster returns the cluster id.
func (s Space) Cluster() string {
	return strings.TrimSuffix(strings.TrimPrefix(string(s), root), "/")
}

// Key returns the key of a kind whose keys are made of a name, for example of a
// service. Other kinds have their own methods.
func (s Space) Key(kind Kind, name string) (string, error) {
	for _, n := range named {
		if n.kind == kind {
			return s.named(n.dir, n.noun, name)
		}
	}
	return "", fault.New(fault.Internal, "keys of kind %d are not made of a name", kind)
}

// Prefix returns the prefix of all keys of a kind, for the kinds that
// [Space.Key] accepts.
func (s Space) Prefix(kind Kind) string {
	for _, n := range named {
		if n.kind == kind {
			return string(s) + n.dir
		}
	}
	return ""
}

// Service returns the key of a service.
func (s Space) Service(name string) (string, error) { return s.Key(KindService, name) }

// Revision returns the key of one revision of a service.
func (s Space) Revision(service string, n uint64) (string, error) {
	prefix, err := s.Revisions(service)
	if err != nil {
		return "", err
	}
	return prefix + pad(n, revisionDigits), nil
}

// Revisions returns the prefix of all revisions of a service, oldest first.
func (s Space) Revisions(service string) (string, error) {
	key, err := s.named(dirRevisions, "service", service)
	return slash(key, err)
}

// ModuleManifest returns the key of a module's manifest.
func (s Space) ModuleManifest(digest string) (string, error) {
	if err := checkDigest(digest); err != nil {
		return "", err
	}
	return string(s) + dirModules + digest + "/" + leafManifest, nil
}

// ModuleChunk returns the key of a module's i-th chunk, 0 to [MaxChunk].
func (s Space) ModuleChunk(digest string, i int) (string, error) {
	if err := checkDigest(digest); err != nil {
		return "", err
	}
	if i < 0 || i > MaxChunk {
		return "", fault.New(fault.RequestInvalid, "chunk %d is out of range: 0 to %d", i, MaxChunk)
	}
	return string(s) + dirModules + digest + "/" + leafChunks + pad(uint64(i), chunkDigits), nil
}

// ModuleWindows is the number of windows of [Space.ModuleWindow].
const ModuleWindows = 256

// ModuleWindow returns the range of keys of the modules whose digests begin with
// one byte; all windows together have all modules.
func (s Space) ModuleWindow(first int) (from, end string) {
	from = string(s) + dirModules
	if first < ModuleWindows-1 {
		return from + fmt.Sprintf("%02x", first), from + fmt.Sprintf("%02x", first+1)
	}
	return from + "ff", string(s) + strings.TrimSuffix(dirModules, "/") + "0" // the byte after the slash
}

// ModuleChunks returns the prefix of a module's chunks.
func (s Space) ModuleChunks(digest string) (string, error) {
	key, err := s.ModuleChunk(digest, 0)
	return strings.TrimSuffix(key, pad(0, chunkDigits)), err
}

// ModuleEnd returns the end of the range of a module's keys.
func (s Space) ModuleEnd(digest string) (string, error) {
	key, err := s.ModuleManifest(digest)
	return strings.TrimSuffix(key, "/"+leafManifest) + "0", err // the byte after the slash
}

// Decorator returns the key of a decorator.
func (s Space) Decorator(name string) (string, error) { return s.Key(KindDecorator, name) }

// DecoratorRevision returns the key of one revision of a decorator.
func (s Space) DecoratorRevision(decorator string, n uint64) (string, error) {
	prefix, err := s.DecoratorRevisions(decorator)
	if err != nil {
		return "", err
	}
	return prefix + pad(n, revisionDigits), nil
}

// DecoratorRevisions returns the prefix of all revisions of a decorator, oldest
// first.
func (s Space) DecoratorRevisions(decorator string) (string, error) {
	key, err := s.named(dirDecoratorRevisions, "decorator", decorator)
	return slash(key, err)
}

// AllRevisions returns the prefix of the revisions of all services.
func (s Space) AllRevisions() string { return string(s) + dirRevisions }

// AllDecoratorRevisions returns the prefix of the revisions of all decorators.
func (s Space) AllDecoratorRevisions() string { return string(s) + dirDecoratorRevisions }

// AuditRecord returns the key of a record of the audit.
func (s Space) AuditRecord(chain string, n uint64) (string, error) {
	prefix, err := s.AuditRecords(chain)
	if err != nil {
		return "", err
	}
	return prefix + pad(n, revisionDigits), nil
}

// AuditRecords returns the prefix of all records of a chain, oldest first.
func (s Space) AuditRecords(chain string) (string, error) {
	key, err := s.named(dirAudit, "audit chain", chain)
	return slash(key, err)
}

// Audit returns the prefix of the records of all chains.
func (s Space) Audit() string { return string(s) + dirAudit }

// Leader returns the key that the leader holds.
func (s Space) Leader() string { return s.Prefix(KindLeader) + TheLeader }

// Handover returns the key of the order to hand over the leadership.
func (s Space) Handover() string { return s.Prefix(KindHandover) + TheLeader }

// Format returns the key of the storage format number.
func (s Space) Format() string { return string(s) + dirMeta + leafFormat }

func (s Space) named(dir, what, name string) (string, error) {
	if err := checkName(what, name); err != nil {
		return "", err
	}
	return string(s) + dir + name, nil
}

func slash(key string, err error) (string, error) {
	if err != nil {
		return "", err
	}
	return key + "/", nil
}

func pad(n uint64, digits int) string { return fmt.Sprintf("%0*d", digits, n) }
