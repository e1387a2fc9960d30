package scale

import (
	"strings"
	"testing"
)

func TestShapes(t *testing.T) {
	for want, values := range map[string][]float64{
		"flat within 1.1":                                               {20, 21, 20.5, 21.9},
		"60.0 MB, and 8.00 KB for each service":                         {60.08, 60.8, 68, 140},
		"140 MB, and 8.00 KB less for each service":                     {139.92, 139.2, 132, 60},
		"from 1000 to 10000 services as the power 2.00 of their number": {1, 1, 2, 200},
		"from 1000 to 10000 services as the power 1.00 of their number": {0.05, 0.9, 10, 100},
	} {
		c := newCurve("services", "service", []int{10, 100, 1000, 10_000})
		for i, size := range c.sizes {
			c.add(size, resident, values[i])
		}
		rows := c.rows()
		if got := rows[len(rows)-1]; got.Text != want || got.Name != "scale/shape/services.memory" {
			t.Errorf("%v: %+v, want %s", values, got, want)
		}
	}
}

func TestEveryFigureIsComparedWithTheSmallestSize(t *testing.T) {
	c := newCurve("lanes", "lane", []int{1, 10})
	for round := range 3 {
		c.add(1, call, float64(10+round))
		c.add(10, call, 2*float64(10+round))
	}
	var got []string
	for _, row := range c.rows() {
		got = append(got, row.Name)
		if row.Name == "scale/lanes/10/call" && (row.Value != 22 || row.Ratio != 2 || row.Baseline != "scale/lanes/1/call" || row.Unit != "cpu us") {
			t.Errorf("got %+v", row)
		}
	}
	if want := "scale/lanes/1/call scale/lanes/10/call scale/shape/lanes.call"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}
