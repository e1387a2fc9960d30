package modules

import (
	"context"
	"iter"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/guard"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/keys"
)

const (
	// MaxDelete bounds the modules of one [Modules.Delete].
	MaxDelete = 32
	// chunkBatch is how many chunks one transaction deletes, and one read looks
	// at: etcd reads their bytes too.
	chunkBatch = 16
)

// Stored is what the store has under one digest.
type Stored struct {
	Digest string
	// Version is that of the manifest. Zero: there is none, only chunks that an
	// upload left behind, or is writing.
	Version int64
	// Bytes is the size of the module, zero if it is not known.
	Bytes uint64
}

// All returns what the store has under every digest. It ends after an error. It
// reads digest after digest, in windows: etcd looks through all keys of a range,
// and reads all values, the chunks too.
func (s *Modules) All(ctx context.Context) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		for first := range keys.ModuleWindows {
			from, end := s.space.ModuleWindow(first)
			for {
				found, next, err := s.first(ctx, from, end)
				if err != nil {
					yield(Stored{}, err)
					return
				}
				if next == "" {
					break
				}
				if from = next; found.Digest != "" && !yield(found, nil) {
					return
				}
			}
		}
	}
}

// first returns the first module of a range of keys, and where the next one can
// begin; "" if there is none.
func (s *Modules) first(ctx context.Context, from, end string) (found Stored, next string, err error) {
	err = s.cluster.Do(ctx, "list the modules", func(ctx context.Context) error {
		got, err := s.cluster.Get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(1), clientv3.WithKeysOnly())
		if err != nil || len(got.Kvs) == 0 {
			return err
		}
		key := string(got.Kvs[0].Key)
		k, ok := s.space.Parse(key)
		if !ok {
			next = key + "\x00" // not one of ours
			return nil
		}
		if next, err = s.space.ModuleEnd(k.Name); err != nil {
			return err
		}
		found, err = s.stored(ctx, k.Name)
		return err
	})
	return found, next, err
}

// Look returns what the store has under a digest.
func (s *Modules) Look(ctx context.Context, digest string) (found Stored, err error) {
	err = s.cluster.Do(ctx, "read module "+short(digest), func(ctx context.Context) error {
		found, err = s.stored(ctx, digest)
		return err
	})
	return found, err
}

// stored reads what the manifest of a digest says.
func (s *Modules) stored(ctx context.Context, digest string) (Stored, error) {
	found := Stored{Digest: digest}
	key, err := s.space.ModuleManifest(digest)
	if err != nil {
		return found, err
	}
	got, err := s.cluster.Get(ctx, key)
	if err != nil || len(got.Kvs) == 0 {
		return found, err
	}
	found.Version = got.Kvs[0].ModRevision
	m := &storev1.Manifest{}
	if proto.Unmarshal(got.Kvs[0].Value, m) == nil {
		found.Bytes = m.GetModule().GetSizeBytes()
	}
	return found, nil
}

// Delete deletes the manifests of at most [MaxDelete] modules, so that they no
// longer exist, if unused still holds and none was written since. It reports
// whether it did. Their chunks are left to [Modules.DeleteChunks].
// LEADERSHIP_LOST.
func (s *Modules) Delete(ctx context.Context, fence fleet.Fence, stored []Stored, unused clientv3.Cmp) (done bool, err error) {
	when := []clientv3.Cmp{unused}
	var then []clientv3.Op
	var what chain.Changes
	for _, m := range stored {
		key, err := s.space.ModuleManifest(m.Digest)
		if err != nil {
			return false, err
		}
		when, then = append(when, guard.Unchanged(key, m.Version)), append(then, clientv3.OpDelete(key))
		what = append(what, chain.Change{Action: "delete", Noun: "module", Name: m.Digest, Before: m.Version})
	}
	err = s.cluster.Do(ctx, "delete modules", func(ctx context.Context) error {
		res, err := s.guard.CommitFenced(ctx, fence, what, when, then, nil)
		done = err == nil && res.Succeeded
		return err
	})
	return done, err
}

// Leftover returns how many chunks there are under a digest, and whether all of
// them were last written at or before a revision of the store.
func (s *Modules) Leftover(ctx context.Context, digest string, before int64) (chunks int, old bool, err error) {
	old = true
	err = s.chunks(ctx, digest, func(_ context.Context, kvs []*mvccpb.KeyValue) (bool, error) {
		chunks += len(kvs)
		for _, kv := range kvs {
			old = old && kv.ModRevision <= before
		}
		return old, nil
	})
	return chunks, old, err
}

// DeleteChunks deletes the chunks of a digest that has no manifest, and returns
// how many. It stops at the first one that was written after a revision of the
// store, or while it is at work: somebody uploads the module. LEADERSHIP_LOST.
func (s *Modules) DeleteChunks(ctx context.Context, fence fleet.Fence, digest string, before int64) (deleted int, err error) {
	manifest, err := s.space.ModuleManifest(digest)
	if err != nil {
		return 0, err
	}
	err = s.chunks(ctx, digest, func(ctx context.Context, kvs []*mvccpb.KeyValue) (bool, error) {
		when := []clientv3.Cmp{guard.Unchanged(manifest, 0)}
		var then []clientv3.Op
		for _, kv := range kvs {
			if kv.ModRevision > before {
				break
			}
			when = append(when, guard.Unchanged(string(kv.Key), kv.ModRevision))
			then = append(then, clientv3.OpDelete(string(kv.Key)))
		}
		if len(then) == 0 {
			return false, nil
		}
		done, err := s.guard.CommitFenced(ctx, fence, chain.Unrecorded{}, when, then, nil)
		if err != nil || !done.Succeeded {
			return false, err
		}
		deleted += len(then)
		return len(then) == len(kvs), nil
	})
	return deleted, err
}

// chunks calls look with the chunks of a digest, a few at a time, without their
// values, as long as it returns true.
func (s *Modules) chunks(ctx context.Context, digest string, look func(context.Context, []*mvccpb.KeyValue) (more bool, err error)) error {
	from, err := s.space.ModuleChunks(digest)
	if err != nil {
		return err
	}
	end := clientv3.GetPrefixRangeEnd(from)
	for more := true; more; {
		err := s.cluster.Do(ctx, "look at the chunks of module "+short(digest), func(ctx context.Context) error {
			got, err := s.cluster.Get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(chunkBatch), clientv3.WithKeysOnly())
			if err != nil || len(got.Kvs) == 0 {
				more = false
				return err
			}
			from = string(got.Kvs[len(got.Kvs)-1].Key) + "\x00"
			more, err = look(ctx, got.Kvs)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
