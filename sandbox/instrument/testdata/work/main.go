// Work is a guest with a few loads of real services. Each is an export that
// takes the number of rounds and returns a value that depends on all of the
// work.
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

type item struct {
	ID    int            `json:"id"`
	Name  string         `json:"name"`
	Tags  []string       `json:"tags"`
	Score float64        `json:"score"`
	Marks map[string]int `json:"marks"`
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

//go:wasmexport json
func jsonLoad(n int32) int32 {
	var items []item
	for i := range 50 {
		items = append(items, item{i, fmt.Sprintf("name-%d", i), []string{"a", "b", "c"}, float64(i) * 1.5, map[string]int{"x": i, "y": i * 2}})
	}
	sum := 0
	for range n {
		var back []item
		b := must(json.Marshal(items))
		if err := json.Unmarshal(b, &back); err != nil {
			panic(err)
		}
		sum += len(b) + len(back)
	}
	return int32(sum)
}

//go:wasmexport sha
func shaLoad(n int32) int32 {
	b, sum := make([]byte, 65536), 0
	for i := range n {
		b[0] = byte(i)
		h := sha256.Sum256(b)
		sum += int(h[0])
	}
	return int32(sum)
}

//go:wasmexport sort
func sortLoad(n int32) int32 {
	x, a := uint32(1), make([]int, n)
	for i := range a {
		x = x*1664525 + 1013904223
		a[i] = int(x >> 4)
	}
	slices.Sort(a)
	return int32(a[len(a)/2])
}

//go:wasmexport text
func textLoad(n int32) int32 {
	word, sum := regexp.MustCompile(`(\w+)-(\d+)`), 0
	for i := range n {
		t := strings.Repeat(fmt.Sprintf("abc-%d ", i), 20)
		sum += len(word.FindAllString(t, -1)) + len(strings.Fields(t)) + len(strings.ToUpper(t))
	}
	return int32(sum)
}

//go:wasmexport gzip
func gzipLoad(n int32) int32 {
	text, sum := strings.Repeat("hello world, this is compressible text 12345. ", 2000), 0
	for range n {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		must(io.WriteString(w, text))
		if err := w.Close(); err != nil {
			panic(err)
		}
		sum += len(must(io.ReadAll(must(gzip.NewReader(&b)))))
	}
	return int32(sum)
}

//go:wasmexport sieve
func sieveLoad(n int32) int32 {
	composite, count := make([]bool, n+1), int32(0)
	for i := int32(2); i <= n; i++ {
		if composite[i] {
			continue
		}
		count++
		for j := i * 2; j <= n; j += i {
			composite[j] = true
		}
	}
	return count
}

//go:wasmexport maps
func mapsLoad(n int32) int32 {
	m := map[string]int{}
	for i := range n {
		m[fmt.Sprint(i%1000)] += int(i)
	}
	sum := 0
	for _, k := range slices.Sorted(maps.Keys(m)) {
		sum = sum*31 + m[k]
	}
	return int32(sum)
}

// Chan passes values between goroutines.
//
//go:wasmexport chan
func chanLoad(n int32) int32 {
	in, out := make(chan int32), make(chan int32)
	go func() {
		defer close(out)
		for v := range in {
			out <- v * 3
		}
	}()
	sum := int32(0)
	for i := range n {
		in <- i
		sum += <-out
	}
	close(in)
	<-out
	return sum
}

func main() {}
