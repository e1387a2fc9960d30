package api

import (
	"context"
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

const (
	// maxItems is how many items one answer of a list has at most, whatever is
	// requested.
	maxItems = 1000
	// maxPageBytes is the number of bytes after which a page ends. A larger
	// item is a page of its own.
	maxPageBytes = 1 << 20
)

// pageRequest is what all requests for lists have in common.
type pageRequest interface {
	GetPageSize() int32
	GetPageToken() string
}

func pageItems(req pageRequest) int {
	if n := int(req.GetPageSize()); n > 0 && n < maxItems {
		return n
	}
	return maxItems
}

// page returns the page of a map that a request asks for, in the order of the
// keys, and the token of the next one, nil at the end. kind names what is
// listed; a token of another kind is refused. A nil wanted accepts every item.
func page[T proto.Message](all map[string]T, kind string, req pageRequest, wanted func(T) bool) (items []T, next *string, err error) {
	after, err := readToken(kind, req.GetPageToken())
	if err != nil {
		return nil, nil, err
	}
	limit, size, last := pageItems(req), 0, ""
	for _, name := range slices.Sorted(maps.Keys(all)) {
		item := all[name]
		if name <= after || wanted != nil && !wanted(item) {
			continue
		}
		n := proto.Size(item)
		if len(items) > 0 && (len(items) == limit || size+n > maxPageBytes) {
			return items, new(token(kind, last)), nil
		}
		items, size, last = append(items, item), size+n, name
	}
	return items, nil, nil
}

// revisions returns the page of a history that a request asks for, newest
// first, and the token of the next one. kind is as in page.
func revisions[T any](ctx context.Context, kind, name string, req pageRequest, read func(context.Context, string, store.Page) ([]T, uint64, error)) (items []T, next *string, err error) {
	after, err := readToken(kind, req.GetPageToken())
	if err != nil {
		return nil, nil, err
	}
	p := store.Page{Items: pageItems(req), Bytes: maxPageBytes}
	if after != "" {
		if p.From, err = strconv.ParseUint(after, 10, 64); err != nil || p.From == 0 {
			return nil, nil, badToken()
		}
	}
	items, more, err := read(ctx, name, p)
	if err != nil {
		return nil, nil, err
	}
	if more > 0 {
		next = new(token(kind, strconv.FormatUint(more, 10)))
	}
	return items, next, nil
}

// tagged returns a filter for items with a tag. It accepts all items if the tag
// is empty.
func tagged[T interface{ GetTags() []string }](tag string) func(T) bool {
	if tag == "" {
		return nil
	}
	return func(item T) bool { return slices.Contains(item.GetTags(), tag) }
}

// tokenVersion begins every token, so that a later format can be distinguished.
const tokenVersion = "1 "

// token returns a token that says where the next page of a list begins.
func token(kind, at string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(tokenVersion + kind + "\n" + at))
}

// readToken returns where a page begins; "" for the first.
func readToken(kind, text string) (at string, err error) {
	if text == "" {
		return "", nil
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return "", badToken()
	}
	at, ok := strings.CutPrefix(string(b), tokenVersion+kind+"\n")
	if !ok || at == "" {
		return "", badToken()
	}
	return at, nil
}

func badToken() error {
	return fault.New(fault.RequestInvalid, "the page token does not belong to this list").
		WithFix("send the next_page_token of the previous answer, with an otherwise identical request")
}
