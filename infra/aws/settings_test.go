package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/topology"
)

var someRegions = []string{"us-east-1", "eu-west-1"}

// read is what a user gets who writes this context.
func read(t *testing.T, context string, files map[string]string) (Settings, error) {
	t.Helper()
	var values map[string]any
	if err := json.Unmarshal([]byte(context), &values); err != nil {
		t.Fatal(err)
	}
	s, err := ReadSettings("eu-west-1", values, []string{"known"}, func(name string) ([]byte, error) {
		if content, ok := files[name]; ok {
			return []byte(content), nil
		}
		return nil, fs.ErrNotExist
	})
	return s, errors.Join(err, s.Validate(someRegions))
}

func TestWithoutSettingsTheTopologyIsTheDefaultOne(t *testing.T) {
	s, err := read(t, `{"@aws-cdk/core:flag": true, "aws:cdk:x": ["y"], "known": 1}`, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, want := s.Topology(), topology.Default()
	if text(got) != text(want) {
		t.Errorf("%s, want %s", text(got), text(want))
	}
}

func TestSettingsAreReadFromContextAndFile(t *testing.T) {
	files := map[string]string{"prod.json": `{"regions": ["us-east-1", "eu-west-1"], "reservedConcurrency": 20, "canary": false, "emails": ["ops@example.com"]}`}
	s, err := read(t, `{"settings": "prod.json", "reservedConcurrency": "30", "windowSeconds": "5", "segmentEndpoint": "eu", "writeKeyParameter": "none", "canaryWriteKey": "secret"}`, files)
	if err != nil {
		t.Fatal(err)
	}
	var shown bytes.Buffer
	s.Print(&shown)
	for _, want := range []string{
		"regions                  us-east-1,eu-west-1\n", "reservedConcurrency      30\n", "windowSeconds            5\n",
		"canary                   false\n",
		"emails                   ops@example.com\n", "segmentEndpoint          https://events.eu1.segmentapis.com\n",
		"writeKeyParameter        none\n",
		"canaryWriteKey           (set)\n",
	} {
		if !strings.Contains(shown.String(), want) {
			t.Errorf("shown:\n%s\nwant %q", &shown, want)
		}
	}
	if top := s.Topology(); top.EventSources[0].MaximumConcurrency != 30 {
		t.Errorf("maximum concurrency is %d", top.EventSources[0].MaximumConcurrency)
	}
}

func TestABadSettingIsRefusedWithALineThatSaysWhatToWrite(t *testing.T) {
	for _, c := range []struct{ context, want string }{
		{`{"regions": "mars-north-1"}`, `regions has "mars-north-1", and there is no such region: write one like us-east-1`},
		{`{"regions": "eu-west-1,eu-west-1"}`, `regions has "eu-west-1" twice`},
		{`{"regions": ""}`, `regions is empty: write at least one`},
		{`{"reservedConcurrency": "1"}`,
			`reservedConcurrency is "1", and an event source needs at least 2: write a number from 2, or none`},
		{`{"reservedConcurrency": "many"}`,
			`reservedConcurrency is "many", and it can't be read: write a number from 2, or none`},
		{`{"reservedConcurrency": 5, "maximumConcurrency": 6}`, `write at most the function's reserved 5`},
		{`{"maximumConcurrency": 1, "reservedConcurrency": "none"}`, `maximum concurrency is 1, write 2 to 1000`},
		{`{"batchSize": 11, "windowSeconds": 0}`, `a batch size of 11 needs a window of at least 1s, it is 0s`},
		{`{"batchSize": 10001}`, `batch size is 10001, write 1 to 10000`},
		{`{"windowSeconds": 301}`, `window is 5m1s, write up to 5m0s`},
		{`{"logRetentionDays": 31}`, `write one of [1 3 5 7 14 30 60 90 120 150 180 365] days`},
		{`{"logLevel": "loud"}`, `write debug or info or warn or error`},
		{`{"architecture": "mips"}`, `write arm64 or x86_64`},
		{`{"door": "window"}`, `write http-api or function-url`},
		{`{"requestsPerSecond": 0}`, `requestsPerSecond is 0: write 1 to 10000`},
		{`{"publicURL": "events.example.com"}`, `write scheme and host, like https://events.example.com`},
		{`{"segmentEndpoint": "api.segment.io"}`, `write us, eu or a URL`},
		{`{"writeKeyParameter": "a key"}`, `write the name of an SSM parameter`},
		{`{"canaryWriteKey": "a key"}`, `the canary's write key can't be one`},
		{`{"canary": "perhaps"}`, `canary is "perhaps", and it can't be read: write true or false`},
		{`{"emails": "ops@example.com,nobody"}`,
			`emails has "nobody", and that is no e-mail address: write one like ops@example.com`},
		{`{"kmsKeys": "alias/mine"}`, `write one like arn:aws:kms:`},
		{`{"kmsKeys": "arn:aws:kms:us-east-1:123456789012:key/a"}`, `kmsKeys has no key of eu-west-1`},
		{`{"batchsize": 5}`, `batchsize: there is no such setting: write one of settings, name, regions, reservedConcurrency`},
		{`{"settings": "none.json"}`, `settings=none.json: file does not exist: write the name of a JSON file`},
		{`{"settings": "list.json"}`, `write a JSON object like`},
		{`{"settings": "typo.json"}`, `regoins: there is no such setting`},
	} {
		_, err := read(t, c.context, map[string]string{"list.json": "[]", "typo.json": `{"regoins": "us-east-1"}`})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want a line with %q", c.context, err, c.want)
		}
	}
}

func TestEverySettingThatIsWrongHasItsLine(t *testing.T) {
	_, err := read(t, `{"regions": "mars-north-1", "emails": "nobody", "batchSize": "x"}`, nil)
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("%v, want three lines", err)
	}
}

func TestAFileThatCanNotBeReadIsTheOnlyThingThatIsWrong(t *testing.T) {
	for _, context := range []string{`{"settings": "none.json"}`, `{"settings": "list.json"}`} {
		_, err := read(t, context, map[string]string{"list.json": "[]"})
		if err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line", context, err)
		}
	}
}
