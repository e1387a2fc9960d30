package telemetry_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/telemetry"
)

func TestAlarmsAreThereWhileTheStoreHasThem(t *testing.T) {
	var alarms []string
	m := telemetry.New(func() int { return 0 }, func() []string { return alarms })
	page := func() string {
		w := httptest.NewRecorder()
		m.Handler(anything).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		return w.Body.String()
	}
	if strings.Contains(page(), "ruedo_alarms{") {
		t.Error("a healthy store has alarms")
	}
	alarms = []string{"STORE_FULL", "INTEGRITY", "STORE_FULL", "words of a stranger"}
	for _, want := range []string{`ruedo_alarms{reason="STORE_FULL"} 2`, `ruedo_alarms{reason="INTEGRITY"} 1`, `ruedo_alarms{reason="other"} 1`} {
		if !strings.Contains(page(), want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}
