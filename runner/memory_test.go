package runner

import (
	"runtime"
	"testing"
)

func TestTheDefaultForPlansIsAPartOfTheMemory(t *testing.T) {
	n := defaultPlanBytes()
	if n < 16<<20 || runtime.GOOS == "linux" && n > 16<<40 {
		t.Errorf("%d bytes for plans", n)
	}
	if cfg := (Config{}).withDefaults(); cfg.MaxPlanBytes != n || cfg.CacheBytes != DefaultCacheBytes {
		t.Errorf("the defaults are %d and %d", cfg.MaxPlanBytes, cfg.CacheBytes)
	}
}
