package deliver

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/reload"
	"github.com/spillwayhq/spillway/shared/ssm"
)

const canaryKey = "spillway-canary-secret"

// bodies of messages, as SQS has them.
const (
	aCanary    = `{\"type\":\"track\",\"anonymousId\":\"spillway-canary\",\"event\":\"Spillway Canary\",\"messageId\":\"spillway-canary-1\",\"timestamp\":\"2026-11-24T12:00:00Z\",\"writeKey\":\"spillway-canary-secret\"}`
	aCustomers = `{\"type\":\"track\",\"userId\":\"u\",\"event\":\"Run\",\"writeKey\":\"k\"}`
	// Somebody has made the canary's key that of a source of his own.
	anImpostor = `{\"type\":\"track\",\"userId\":\"u\",\"event\":\"Run\",\"writeKey\":\"spillway-canary-secret\"}`
)

// drilled counts what an invocation with these bodies did with them.
func drilled(t *testing.T, f *function, last *deliver.Report, bodies ...string) {
	t.Helper()
	var records []string
	for _, body := range bodies {
		records = append(records, `{"messageId":"m","receiptHandle":"r","body":"`+body+`"}`)
	}
	*last = deliver.Report{}
	if out, err := f.Invoke(t.Context(), []byte(`{"Records":[`+strings.Join(records, ",")+`]}`)); err != nil ||
		string(out) != `{"batchItemFailures":[]}` {
		t.Fatalf("%s, %v", out, err)
	}
}

func TestInADrillOnlyCanariesAreDroppedAndOnlyUntilItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fakeSSM{err: &smithy.GenericAPIError{Code: "ParameterNotFound"}}
		var last deliver.Report
		f := newReportingFunction(t, Options{Endpoint: "http://segment.test", WriteKey: "k", CanaryWriteKey: canaryKey,
			DrillParameter: parameter}, api, &last)
		check := func(when string, delivered, canaries, dropped int) {
			t.Helper()
			drilled(t, f, &last, aCanary, aCustomers, anImpostor)
			if last.Delivered != delivered || len(last.CanaryAges) != canaries || last.CanariesDropped != dropped {
				t.Errorf("%s: %d delivered, %d canaries, %d dropped, want %d, %d, %d", when, last.Delivered,
					len(last.CanaryAges), last.CanariesDropped, delivered, canaries, dropped)
			}
		}
		check("before", 1, 2, 0)
		*api = fakeSSM{value: canary.DrillText(time.Now().Add(canary.MaxDrill))}
		time.Sleep(reload.Interval * 11 / 10)
		drilled(t, f, &last, aCanary) // the parameter is read beside it, so it may or may not be dropped
		check("in the drill", 1, 1, 1)
		*api = fakeSSM{err: errors.New("ThrottlingException")} // whoever began it was killed, and SSM is away
		time.Sleep(canary.MaxDrill - 2*time.Minute)
		check("before its end", 1, 1, 1)
		time.Sleep(time.Minute)
		check("after its end", 1, 2, 0)
	})
}

func TestADrillOfHoursIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fakeSSM{value: canary.DrillText(time.Now().Add(2 * time.Hour))}
		var last deliver.Report
		f := newReportingFunction(t, Options{Endpoint: "http://segment.test", WriteKey: "k", CanaryWriteKey: canaryKey,
			DrillParameter: parameter}, api, &last)
		for range 3 {
			drilled(t, f, &last, aCanary)
			if last.CanariesDropped != 0 {
				t.Error("a canary was dropped")
			}
			time.Sleep(reload.Interval * 11 / 10)
		}
		if !strings.Contains(f.log.String(), "must be at most 15m0s ahead") {
			t.Errorf("the log says:\n%s", &f.log)
		}
	})
}

func TestDeliveryNeverWaitsForTheParameterOfADrill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var last deliver.Report
		f := newReportingFunction(t, Options{Endpoint: "http://segment.test", WriteKey: "k", CanaryWriteKey: canaryKey,
			DrillParameter: parameter}, &fakeSSM{hangs: true}, &last)
		drilled(t, f, &last, aCustomers)
		if last.Duration > 0 || last.Delivered != 1 {
			t.Errorf("the delivery took %v", last.Duration)
		}
	})
}

func TestWithoutACanaryNoDrillIsRead(t *testing.T) {
	api := &counted{}
	c, values, err := Configure(Options{Endpoint: "http://segment.test", WriteKey: "k", DrillParameter: parameter},
		Parts{SQS: noSQS{}, SSM: api})
	if err != nil || c.DropCanary != nil || len(values) != 0 {
		t.Errorf("%v, %d values, %v", c.DropCanary != nil, len(values), err)
	}
	values.Refresh(t.Context())
	if api.reads != 0 {
		t.Errorf("read %d times", api.reads)
	}
}

// counted counts calls of SSM.
type counted struct{ reads int }

func (c *counted) GetParameter(context.Context, string, bool) (ssm.Value, error) {
	c.reads++
	return ssm.Value{}, errors.New("nobody asks")
}
