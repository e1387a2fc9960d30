// Package modules keeps Wasm modules in etcd, named by the SHA-256 of their
// bytes.
//
// A module is cut into chunks, and its manifest is written last. Without a
// manifest there is no module, so an interrupted upload is invisible and can be
// repeated. The bytes are verified against the digest on every read.
//
// All methods of [Modules] can be called from many goroutines.
package modules

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/klauspost/compress/zstd"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/guard"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

// DefaultMaxBytes is the default of [Config.MaxBytes].
const DefaultMaxBytes = 64 << 20

const (
	// chunkBytes is the size of a chunk, well below etcd's limit of 1.5 MiB per
	// request.
	chunkBytes = 512 << 10
	// maxChunkBytes is the largest chunk that is read back, whatever its
	// manifest says.
	maxChunkBytes = 1 << 20
	// parallel is how many chunks are in flight at the same time.
	parallel = 4
)

// Config says where modules are kept.
type Config struct {
	// Cluster is the part of etcd that they are read from. Required.
	Cluster *fleet.Cluster
	// Guard writes them. Required.
	Guard *guard.Guard
	// MaxBytes is the size of the largest module; zero means [DefaultMaxBytes].
	MaxBytes int64
	// Logger; nil discards.
	Logger *slog.Logger
}

// Modules reads and writes modules.
type Modules struct {
	cluster *fleet.Cluster
	guard   *guard.Guard
	space   keys.Space
	max     int64
	logger  *slog.Logger
	damaged damage
	pack    *zstd.Encoder
	unpack  *zstd.Decoder
}

// New returns the modules of a cluster. Close releases what they use.
func New(cfg Config) (*Modules, error) {
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	pack, unpack, err := codec()
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "cannot create the codec of modules")
	}
	return &Modules{
		cluster: cfg.Cluster, guard: cfg.Guard, space: cfg.Cluster.Space(), max: cfg.MaxBytes, logger: cfg.Logger,
		pack: pack, unpack: unpack,
	}, nil
}

// Close releases memory. No other method may be called after it.
func (s *Modules) Close() { s.unpack.Close() }

// codec returns the encoder and decoder of chunks. The decoder refuses to
// inflate a chunk beyond its largest size.
func codec() (*zstd.Encoder, *zstd.Decoder, error) {
	pack, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(parallel))
	if err != nil {
		return nil, nil, err
	}
	unpack, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(parallel), zstd.WithDecoderMaxMemory(maxChunkBytes))
	return pack, unpack, err
}

// StatModule reads the description of a module. MODULE_NOT_FOUND means that it
// is incomplete or known to be damaged, so that it is uploaded again.
//
// It reads the module itself only if there is reason to: a reader found it
// damaged, or a chunk was written after the manifest, which is written last.
//
// Whoever asks is about to use the module, so it counts as new for those that
// collect modules that nothing uses.
func (s *Modules) StatModule(ctx context.Context, digest string) (*ruedov1.Module, error) {
	m, seen, err := s.manifest(ctx, digest)
	if err != nil {
		return nil, err
	}
	sound, err := s.sound(ctx, m, seen)
	if err != nil {
		return nil, err
	}
	if !sound || s.damaged.has(digest) {
		switch _, err := s.ReadModule(ctx, digest); {
		case errors.Is(err, fault.Integrity):
			return nil, fault.Wrap(err, fault.ModuleNotFound, "module %s is damaged in the store", digest).WithFix("upload it again")
		case err != nil:
			return nil, err
		}
	}
	if err := s.touch(ctx, m, seen); err != nil {
		return nil, err
	}
	return m.GetModule(), nil
}

// touchEvery is how long a module that is asked for is not written again.
const touchEvery = time.Hour

// touch writes the manifest of a module again, so that it is new. It fails with
// MODULE_NOT_FOUND if the module is gone; other failures only leave it as old as
// it is.
func (s *Modules) touch(ctx context.Context, m *storev1.Manifest, seen int64) error {
	digest := m.GetModule().GetDigest()
	if time.Since(m.GetModule().GetCreateTime().AsTime()) < touchEvery || time.Since(m.GetTouchTime().AsTime()) < touchEvery {
		return nil
	}
	key, err := s.space.ModuleManifest(digest)
	if err != nil {
		return err
	}
	m = proto.CloneOf(m)
	m.TouchTime = timestamppb.Now()
	value, err := proto.Marshal(m)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "cannot encode the manifest of module %s", short(digest))
	}
	gone := false
	err = s.cluster.Do(ctx, "write module "+short(digest), func(ctx context.Context) error {
		done, err := s.guard.Commit(ctx, chain.Unrecorded{}, []clientv3.Cmp{guard.Unchanged(key, seen)}, []clientv3.Op{clientv3.OpPut(key, string(value))}, []clientv3.Op{clientv3.OpGet(key, clientv3.WithCountOnly())})
		gone = err == nil && !done.Succeeded && done.Responses[0].GetResponseRange().GetCount() == 0
		return err
	})
	switch {
	case gone:
		return NotFound(digest)
	case err != nil:
		s.logger.Debug("cannot mark a module as used", "digest", digest, "error", err)
	}
	return ctx.Err()
}

// sound reports whether all chunks are present and older than the manifest.
func (s *Modules) sound(ctx context.Context, m *storev1.Manifest, manifest int64) (sound bool, err error) {
	digest, chunks := m.GetModule().GetDigest(), int(m.GetChunks())
	if s.claims(m) != "" {
		return false, nil
	}
	if chunks == 0 {
		return true, nil
	}
	first, err := s.space.ModuleChunk(digest, 0)
	if err != nil {
		return false, err
	}
	last, err := s.space.ModuleChunk(digest, chunks-1)
	if err != nil {
		return false, err
	}
	err = s.cluster.Do(ctx, "read module "+short(digest), func(ctx context.Context) error {
		got, err := s.cluster.Get(ctx, first, clientv3.WithRange(last+"\x00"), clientv3.WithKeysOnly())
		if err != nil {
			return err
		}
		sound = len(got.Kvs) == chunks
		for _, kv := range got.Kvs {
			sound = sound && kv.ModRevision < manifest
		}
		return nil
	})
	return sound, err
}

// claims returns what is wrong with the claims of a manifest, or "".
func (s *Modules) claims(m *storev1.Manifest) string {
	size, chunk, chunks := m.GetModule().GetSizeBytes(), uint64(m.GetChunkBytes()), uint64(m.GetChunks())
	switch {
	case m.GetCodec() != storev1.Codec_CODEC_ZSTD:
		return fmt.Sprintf("its codec %d is unknown", m.GetCodec())
	case size > uint64(s.max):
		return fmt.Sprintf("it claims %d bytes, over the limit of %d", size, s.max)
	case chunk == 0 || chunk > maxChunkBytes || chunks != (size+chunk-1)/chunk || chunks > keys.MaxChunk:
		return fmt.Sprintf("its manifest claims %d bytes in %d chunks of %d", size, chunks, chunk)
	}
	return ""
}

// PutModule stores the bytes of a module; m.Digest is their SHA-256. It keeps a
// readable stored module, and its description. Errors: DIGEST_MISMATCH,
// UPLOAD_TOO_LARGE.
func (s *Modules) PutModule(ctx context.Context, m *ruedov1.Module, data []byte) error {
	if err := s.checkModule(m, data); err != nil {
		return err
	}
	stored, seen, err := s.manifest(ctx, m.GetDigest())
	switch {
	case err == nil:
		_, err := s.ReadModule(ctx, m.GetDigest())
		if err == nil {
			if err = s.touch(ctx, stored, seen); !errors.Is(err, fault.ModuleNotFound) {
				return err
			}
			seen = 0 // it was collected just now
			break
		}
		if !errors.Is(err, fault.Integrity) {
			return err
		}
		s.logger.Warn("a stored module was damaged; it is written again", "digest", m.GetDigest())
	case !errors.Is(err, fault.ModuleNotFound):
		return err
	}
	if err := s.writeChunks(ctx, m.GetDigest(), data); err != nil {
		return err
	}
	return s.writeManifest(ctx, m, data, seen)
}

// ReadModule reads and verifies the bytes of a module. MODULE_NOT_FOUND;
// INTEGRITY if they do not match the digest.
func (s *Modules) ReadModule(ctx context.Context, digest string) ([]byte, error) {
	data, err := s.readModule(ctx, digest)
	s.damaged.note(digest, err)
	return data, err
}

func (s *Modules) readModule(ctx context.Context, digest string) ([]byte, error) {
	c, err := s.OpenModule(ctx, digest)
	if err != nil {
		return nil, err
	}
	data := make([]byte, c.size)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i := range c.count {
		from := uint64(i) * c.chunk
		part := data[from:min(from+c.chunk, c.size)]
		g.Go(func() error { return c.readChunk(ctx, gctx, i, part) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != digest {
		return nil, damaged(nil, digest, "its bytes have another digest")
	}
	return data, nil
}

func (s *Modules) checkModule(m *ruedov1.Module, data []byte) error {
	if int64(len(data)) > s.max {
		return fault.New(fault.UploadTooLarge, "module of %d bytes is over the limit of %d", len(data), s.max).
			WithFix("make it smaller, for example by stripping debug information")
	}
	sum := sha256.Sum256(data)
	if got := hex.EncodeToString(sum[:]); got != m.GetDigest() {
		return fault.New(fault.DigestMismatch, "the module's bytes have digest %s, not %s", got, keys.Quote(m.GetDigest())).
			WithFix("upload it again")
	}
	return nil
}

// manifest reads a module's manifest and its version.
func (s *Modules) manifest(ctx context.Context, digest string) (m *storev1.Manifest, seen int64, err error) {
	key, err := s.space.ModuleManifest(digest)
	if err != nil {
		return nil, 0, err
	}
	err = s.cluster.Do(ctx, "read module "+short(digest), func(ctx context.Context) error {
		got, err := s.cluster.Get(ctx, key)
		if err != nil {
			return err
		}
		if len(got.Kvs) == 0 {
			return NotFound(digest)
		}
		seen = got.Kvs[0].ModRevision
		m = &storev1.Manifest{}
		if err := proto.Unmarshal(got.Kvs[0].Value, m); err != nil || m.GetModule() == nil {
			// Without a readable manifest the module does not exist; the next
			// upload repairs it.
			m = nil
			s.logger.Warn("the manifest of a module cannot be read", "digest", digest)
			return NotFound(digest)
		}
		m.Module.Digest = digest
		return nil
	})
	return m, seen, err
}

func (s *Modules) writeChunks(ctx context.Context, digest string, data []byte) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, off := 0, 0; off < len(data); i, off = i+1, off+chunkBytes {
		part := data[off:min(off+chunkBytes, len(data))]
		g.Go(func() error { return s.writeChunk(ctx, gctx, digest, i, part) })
	}
	return g.Wait()
}

// writeChunk writes one chunk. ctx is the caller's; gctx ends when another
// chunk failed.
func (s *Modules) writeChunk(ctx, gctx context.Context, digest string, i int, part []byte) error {
	if gctx.Err() != nil {
		return gctx.Err()
	}
	key, err := s.space.ModuleChunk(digest, i)
	if err != nil {
		return err
	}
	packed := s.pack.EncodeAll(part, make([]byte, 0, len(part)/2))
	return s.part(ctx, gctx, fmt.Sprintf("write chunk %d of module %s", i, short(digest)), func(ctx context.Context) error {
		_, err := s.guard.Commit(ctx, chain.Unrecorded{}, nil, []clientv3.Op{clientv3.OpPut(key, string(packed))}, nil)
		return err
	})
}

// readChunk reads one chunk into part, which it must fill exactly.
func (c *Chunks) readChunk(ctx, gctx context.Context, i int, part []byte) error {
	if gctx.Err() != nil {
		return gctx.Err()
	}
	packed, err := c.Packed(gctx, i)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		_, err = c.Plain(part[:0:len(part)], packed, i)
	}
	return err
}

// part is do for one of several parallel operations. The first failure ends the
// others, whose errors then do not matter.
func (s *Modules) part(ctx, gctx context.Context, doing string, op func(ctx context.Context) error) error {
	err := s.cluster.Do(gctx, doing, op)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// writeManifest makes the module visible. If another upload has written it
// meanwhile, there is nothing left to do: the bytes are the same.
func (s *Modules) writeManifest(ctx context.Context, m *ruedov1.Module, data []byte, seen int64) error {
	key, err := s.space.ModuleManifest(m.GetDigest())
	if err != nil {
		return err
	}
	module := proto.CloneOf(m)
	module.SizeBytes = uint64(len(data))
	if module.CreateTime == nil {
		module.CreateTime = timestamppb.Now()
	}
	value, err := proto.Marshal(&storev1.Manifest{
		Module:     module,
		Chunks:     uint32((len(data) + chunkBytes - 1) / chunkBytes),
		ChunkBytes: chunkBytes,
		Codec:      storev1.Codec_CODEC_ZSTD,
	})
	if err != nil {
		return fault.Wrap(err, fault.RequestInvalid, "the description of module %s cannot be encoded: %v", short(m.GetDigest()), err)
	}
	return s.cluster.Do(ctx, "write module "+short(m.GetDigest()), func(ctx context.Context) error {
		what := chain.Change{Action: "upload", Noun: "module", Name: m.GetDigest(), Before: seen}
		done, err := s.guard.Commit(ctx, what, []clientv3.Cmp{guard.Unchanged(key, seen)}, []clientv3.Op{clientv3.OpPut(key, string(value))}, nil)
		if err == nil && done.Succeeded {
			s.damaged.note(m.GetDigest(), nil)
		}
		return err
	})
}

// NotFound returns MODULE_NOT_FOUND.
func NotFound(digest string) error {
	return fault.New(fault.ModuleNotFound, "module %s is not stored", digest).
		WithFix("upload it, then try again")
}

func damaged(err error, digest, how string) error {
	return fault.Wrap(err, fault.Integrity, "module %s is damaged in the store: %s", digest, how).
		WithFix("upload the module again").With("digest", digest)
}

// short returns enough of a digest to tell modules apart.
func short(digest string) string { return digest[:min(len(digest), 12)] }
