// Package answer is the work of every Go guest of the benchmarks: JSON in, JSON
// out.
package answer

import (
	"encoding/json"
	"time"
)

type request struct {
	Name string `json:"name"`
	Wait int    `json:"wait"` // milliseconds to sleep before the answer
}

type response struct {
	Greeting string `json:"greeting"`
}

// To returns the answer to an input.
func To(input []byte) []byte {
	var req request
	if err := json.Unmarshal(input, &req); err != nil {
		return []byte(`{"error":"bad"}`)
	}
	if req.Wait > 0 {
		time.Sleep(time.Duration(req.Wait) * time.Millisecond)
	}
	out, err := json.Marshal(response{Greeting: "Hello, " + req.Name + "!"})
	if err != nil {
		return []byte(`{"error":"bad"}`)
	}
	return out
}
