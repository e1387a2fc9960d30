package modules

import (
	"context"
	"fmt"
)

// Chunks is a stored module, to be read chunk by chunk. Its methods can be called
// from many goroutines.
type Chunks struct {
	s           *Modules
	digest      string
	size, chunk uint64
	count       int
}

// OpenModule returns the chunks of a module. MODULE_NOT_FOUND; INTEGRITY if its
// manifest cannot be true. The bytes are not compared with the digest; see
// [Modules.ReadModule].
func (s *Modules) OpenModule(ctx context.Context, digest string) (*Chunks, error) {
	m, _, err := s.manifest(ctx, digest)
	if err != nil {
		return nil, err
	}
	if wrong := s.claims(m); wrong != "" {
		return nil, damaged(nil, digest, wrong)
	}
	return &Chunks{s, digest, m.GetModule().GetSizeBytes(), uint64(m.GetChunkBytes()), int(m.GetChunks())}, nil
}

// Count returns the number of chunks.
func (c *Chunks) Count() int { return c.count }

// Packed reads a chunk as it is stored: one Zstandard frame. INTEGRITY if it is
// missing.
func (c *Chunks) Packed(ctx context.Context, i int) (packed []byte, err error) {
	key, err := c.s.space.ModuleChunk(c.digest, i)
	if err != nil {
		return nil, err
	}
	err = c.s.cluster.Do(ctx, fmt.Sprintf("read chunk %d of module %s", i, short(c.digest)), func(ctx context.Context) error {
		got, err := c.s.cluster.Get(ctx, key)
		if err != nil {
			return err
		}
		if len(got.Kvs) == 0 {
			return damaged(nil, c.digest, fmt.Sprintf("chunk %d is missing", i))
		}
		packed = got.Kvs[0].Value
		return nil
	})
	return packed, err
}

// Plain inflates a chunk into the beginning of buf, or into a larger buffer.
// INTEGRITY if the chunk is damaged.
func (c *Chunks) Plain(buf, packed []byte, i int) ([]byte, error) {
	from := uint64(i) * c.chunk
	want := min(from+c.chunk, c.size) - from
	plain, err := c.s.unpack.DecodeAll(packed, buf[:0])
	if err != nil {
		return nil, damaged(err, c.digest, fmt.Sprintf("chunk %d cannot be unpacked", i))
	}
	if uint64(len(plain)) != want {
		return nil, damaged(nil, c.digest, fmt.Sprintf("chunk %d has %d bytes in place of %d", i, len(plain), want))
	}
	return plain, nil
}
