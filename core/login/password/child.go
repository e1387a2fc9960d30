package password

import (
	"encoding/json"
	"io"
	"time"

	"github.com/alexedwards/argon2id"
)

// lonely is how long a child waits for the next password before it ends.
const lonely = time.Minute

// question is what a child is asked: the hash of a password, or whether a hash is that
// of it.
type question struct {
	Password []byte // which need not be a text that JSON has
	Hash     string // "" asks for one
}

// answer is what it answers.
type answer struct {
	Hash    string
	Matches bool
	Error   string
	// Waited is for how long a child had no processor meanwhile.
	Waited time.Duration
}

func (q question) answer() (a answer) {
	var err error
	if q.Hash == "" {
		a.Hash, err = argon2id.CreateHash(string(q.Password), &params)
	} else {
		a.Matches, err = argon2id.ComparePasswordAndHash(string(q.Password), q.Hash)
	}
	if err != nil {
		a.Error = err.Error()
	}
	return a
}

// measured is answer by a process that does nothing else.
func (q question) measured() answer {
	began, had := time.Now(), processorTime()
	a := q.answer()
	a.Waited = max(0, time.Since(began)-(processorTime()-had))
	return a
}

// Child is all that a process does that a [Hasher] has started with Config.Command: at
// the lowest priority it answers what it reads from stdin, until that ends or nobody has
// asked for a minute. The caller must exit with the result.
func Child(stdin io.Reader, stdout io.Writer) int {
	if err := yield(); err != nil {
		return 1
	}
	return serve(stdin, stdout)
}

func serve(stdin io.Reader, stdout io.Writer) int {
	questions := make(chan question)
	go func() { // ends with the process, if stdin does not
		defer close(questions)
		for in := json.NewDecoder(stdin); ; {
			var q question
			if in.Decode(&q) != nil {
				return
			}
			questions <- q
		}
	}()
	for out := json.NewEncoder(stdout); ; {
		alone := time.NewTimer(lonely)
		select {
		case q, ok := <-questions:
			alone.Stop()
			if !ok || out.Encode(q.measured()) != nil {
				return 0
			}
		case <-alone.C:
			return 0
		}
	}
}
