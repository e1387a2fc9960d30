package wire

import (
	"io"
	"net/http"
	"time"
)

// patientBody moves the read deadline ahead of each read.
type patientBody struct {
	io.ReadCloser
	rc *http.ResponseController
}

func (b *patientBody) Read(p []byte) (int, error) {
	// Where a transport knows no deadlines there is none to hold.
	_ = b.rc.SetReadDeadline(time.Now().Add(bodyIdle))
	return b.ReadCloser.Read(p)
}
