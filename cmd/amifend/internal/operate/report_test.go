package operate_test

import (
	"testing"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

func TestReportWithoutAJournal(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		_, err := o.Report(t.Context(), control.ReportQuery{Since: time.Hour, Limit: 1})
		if control.CodeOf(err) != control.CodeFailed {
			t.Errorf("report: %v", err)
		}

		_, err = o.Alerts(t.Context(), control.AlertQuery{Since: time.Hour, Limit: 1})
		if control.CodeOf(err) != control.CodeFailed {
			t.Errorf("alerts: %v", err)
		}
	})
}
