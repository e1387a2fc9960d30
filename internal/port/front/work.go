package front

import (
	"net/http"
	"net/url"
)

// roomSize is the longest head, with as much of its body as arrives with it.
const roomSize = 4 << 10

// work is the memory that a request and its answer take. A connection has one request at a
// time, and none of it while it waits for the next: most connections do.
type work struct {
	room    [roomSize]byte
	head    head
	request http.Request
	url     url.URL
	body    body
	out     answer
}

func newWork() any { return &work{out: answer{header: make(http.Header, usual)}} }

// reset forgets a request. No handler uses it when it has returned.
func (w *work) reset() {
	w.out.reset()
	w.head.reset()
	w.request, w.url, w.body = http.Request{}, url.URL{}, body{}
}

// borrow gets memory for a request.
func (c *conn) borrow() {
	c.work = c.f.works.Get().(*work)
	c.out.c = c
}

// release returns that memory.
func (c *conn) release() {
	w := c.work
	c.work, c.buf = nil, nil
	w.reset()
	w.out.c = nil
	c.f.works.Put(w)
}
