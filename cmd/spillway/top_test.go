package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"github.com/spillwayhq/spillway/cmd/spillway/top"
	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
	"github.com/spillwayhq/spillway/shared/cloudwatch"
	"github.com/spillwayhq/spillway/shared/heavy"
)

func TestTopShowsWhoSendsWhatToARunningPipeline(t *testing.T) {
	t.Parallel()
	p := localtest.StartEager(t, local.Config{IngestAddr: "127.0.0.1:0", Canary: true})
	post := func(writeKey, body string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "POST", p.IngestURL+"/v1/batch", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(writeKey, "")
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	const order = `{"type":"track","event":"Order \u001b[31mCompleted","userId":"u1"}`
	post("web", `{"batch":[`+order+`,`+order+`,{"type":"page","userId":"u2"}]}`)
	post("phone", `{"batch":[{"type":"page"}]}`)
	if _, _, err := spillway(t.Context(), order+"\n", "send", queueFlag(p)); err != nil { // past ingest
		t.Fatal(err)
	}
	var shown string
	await(t, "deliver's lines", func() bool {
		var err error
		if shown, _, err = spillway(t.Context(), "", "top", queueFlag(p)); err != nil {
			t.Fatal(err)
		}
		return strings.Contains(shown, "4 events") && strings.Contains(shown, "1 refused")
	})
	lines := strings.Join(strings.Fields(shown), " ")
	for _, want := range []string{"Order �[31mCompleted 3 0.0 75.0 %", "page 1 0.0 25.0 %", "1 no_user_anon_id",
		"BY WRITE-KEY", "Nothing to compare with"} {
		if !strings.Contains(lines, want) {
			t.Errorf("%q is missing in\n%s", want, shown)
		}
	}
	if strings.Contains(shown, "Canary") || strings.Contains(shown, "u1") {
		t.Errorf("the canary or a user is in\n%s", shown)
	}
	users, _, err := spillway(t.Context(), "", "top", queueFlag(p), "--by=user", "--json")
	var r top.Report
	if err != nil || json.Unmarshal([]byte(users), &r) != nil || len(r.Tables) != 1 ||
		r.Tables[0].Heaviest[0].Name != "u1" ||
		r.Tables[0].Heaviest[0].Events != 3 {
		t.Errorf("the users are %s: %v", users, err)
	}
}

func TestErrorsOfTopAreOneLine(t *testing.T) {
	t.Parallel()
	gone := unreachableQueue(t)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "[]")
	}))
	t.Cleanup(other.Close)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--queue-url", gone}, "is `spillway up` running?"},
		{[]string{"--queue-url", other.URL + "/000000000000/spillway-events"},
			"it answers 502 Bad Gateway: is it a `spillway up` of this version?"},
		{[]string{"--by", "users"}, `--by must be event, write-key or user, is "users"`},
		{[]string{"--since", "30s"}, "--since must be between 1m and 24h"},
		{[]string{"--since", "25h"}, "--since must be between 1m and 24h"},
		{[]string{"--limit", "0"}, "--limit must be at least 1"},
		{[]string{"--name", "shop", "--by", "user"}, "user ids, which are personal data, are in no log"},
		{[]string{"--name", "shop", "--queue-url", gone}, "remove one of them"},
	} {
		_, _, err := spillway(t.Context(), "", append([]string{"top"}, c.args...)...)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("top %v: %v, want an error with %q", c.args, err, c.want)
		}
	}
}

// fakeInsights has a line in each log group.
type fakeInsights struct{}

func (f *fakeInsights) StartQuery(_ context.Context, in *cloudwatchlogs.StartQueryInput,
	_ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.StartQueryOutput, error) {
	return &cloudwatchlogs.StartQueryOutput{QueryId: in.LogGroupName}, nil
}

func (f *fakeInsights) GetQueryResults(_ context.Context, in *cloudwatchlogs.GetQueryResultsInput,
	_ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.GetQueryResultsOutput, error) {
	l := heavy.Line{Time: time.Now().Add(-time.Minute), Message: heavy.Message, Pipeline: "shop", Part: heavy.PartDeliver,
		Events:   7,
		Heaviest: []heavy.Entry{{By: heavy.ByEvent, Name: aws.ToString(in.QueryId), Events: 7}}}
	var b bytes.Buffer
	if _, err := l.WriteTo(&b); err != nil {
		return nil, err
	}
	return &cloudwatchlogs.GetQueryResultsOutput{Status: types.QueryStatusComplete,
		Results:    [][]types.ResultField{{{Field: aws.String("@message"), Value: aws.String(b.String())}}},
		Statistics: &types.QueryStatistics{BytesScanned: 1e9}}, nil
}

func (f *fakeInsights) StopQuery(context.Context, *cloudwatchlogs.StopQueryInput,
	...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.StopQueryOutput, error) {
	return nil, nil
}

func TestTopReadsTheLogsOfADeployedPipelineAndSaysWhatThatCosts(t *testing.T) {
	names, err := topology.NewNames("shop")
	if err != nil {
		t.Fatal(err)
	}
	f := topFlags{since: time.Hour, limit: 10}
	var errOut bytes.Buffer
	pipeline, lines, err := f.read(t.Context(), &errOut, names,
		&cloudwatch.Source{Logs: &fakeInsights{}, Pipeline: "shop"})
	if err != nil || pipeline != "shop" || len(lines) != 2 {
		t.Fatalf("%s has %d lines: %v", pipeline, len(lines), err)
	}
	if errOut.String() != "4.0 GB of logs were scanned, for $0.0200\n" {
		t.Errorf("it says %q", errOut.String())
	}
	r := top.New(pipeline, time.Now().Add(time.Second), f.since, lines, []heavy.By{heavy.ByEvent}, f.limit)
	var out bytes.Buffer
	if err := printTop(&out, &r); err != nil || !strings.Contains(out.String(), "/aws/lambda/shop-deliver") ||
		!strings.Contains(out.String(), "/aws/lambda/shop-ingest") {
		t.Errorf("%v:\n%s", err, &out)
	}
}
