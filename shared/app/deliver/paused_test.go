package deliver

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/reload"
)

func TestAPausedWriteKeyIsReadWhileTheFunctionRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fakeSSM{err: &smithy.GenericAPIError{Code: "ParameterNotFound"}}
		var last deliver.Report
		f := newReportingFunction(t, Options{Endpoint: "http://segment.test", WriteKey: "default", PausedKeysParameter: parameter},
			api, &last)
		check := func(when string, retried int) {
			t.Helper()
			out, err := f.Invoke(t.Context(), []byte(`{"Records":[{"messageId":"m","receiptHandle":"r","body":"`+aCustomers+`"}]}`))
			if err != nil || last.Retried[deliver.Paused] != retried || strings.Contains(string(out), `"m"`) != (retried > 0) {
				t.Errorf("%s: %v retried, answer %s, %v", when, last.Retried, out, err)
			}
		}
		later := func() {
			time.Sleep(reload.Interval * 11 / 10)
			f.values.Refresh(t.Context())
		}
		check("before", 0)
		*api = fakeSSM{value: `{"` + event.KeyID("k") + `":{"since":"2026-01-31T12:00:00Z"}}`}
		later()
		check("paused", 1)
		*api = fakeSSM{err: errors.New("SSM is down")}
		later()
		check("while SSM is down", 1)
		*api = fakeSSM{value: "k"}
		later()
		check("with a value that somebody has typed", 1)
		*api = fakeSSM{err: &smithy.GenericAPIError{Code: "ParameterNotFound"}}
		later()
		check("resumed", 0)
	})
}
