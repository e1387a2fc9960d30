package wire

import (
	"io"
	"net/http"
	"time"
)

// patientBody moves the read deadline ahead of each read, as far as the body
// comes at a rate that a real upload has.
type patientBody struct {
	io.ReadCloser
	rc    *http.ResponseController
	began time.Time
	read  int64
}

func (b *patientBody) Read(p []byte) (int, error) {
	deadline := time.Now().Add(bodyIdle)
	if slow := b.began.Add(bodyIdle + time.Duration(b.read)*time.Second/bodyRate); slow.Before(deadline) {
		deadline = slow
	}
	// Where a transport knows no deadlines there is none to hold.
	_ = b.rc.SetReadDeadline(deadline)
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	return n, err
}
