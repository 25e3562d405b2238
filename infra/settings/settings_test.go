package settings

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/topology"
)

var someRegions = map[string]string{"us-east-1": "aws", "eu-west-1": "aws", "eu-west-3": "aws", "eu-central-1": "aws",
	"cn-north-1": "aws-cn", "cn-northwest-1": "aws-cn", "us-iso-east-1": "aws-iso"}

// read is what a user with this context gets.
func read(t *testing.T, context string, files map[string]string) (Settings, error) {
	t.Helper()
	var values map[string]any
	if err := json.Unmarshal([]byte(context), &values); err != nil {
		t.Fatal(err)
	}
	s, err := Read("eu-west-1", values, []string{"known"}, func(name string) ([]byte, error) {
		if content, ok := files[name]; ok {
			return []byte(content), nil
		}
		return nil, fs.ErrNotExist
	})
	return s, errors.Join(err, s.Validate(someRegions))
}

func TestWithoutSettingsTheTopologyIsTheDefault(t *testing.T) {
	s, err := read(t, `{"@aws-cdk/core:flag": true, "aws:cdk:x": ["y"], "known": 1}`, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := topology.DefaultOptions()
	o.Rollout = true
	got, want := s.Topology(), topology.New(o)
	if text(got) != text(want) {
		t.Errorf("%s, want %s", text(got), text(want))
	}
}

func TestSettingsAreReadFromContextAndFile(t *testing.T) {
	files := map[string]string{"prod.json": `{"regions": ["us-east-1", "eu-west-1"], "reservedConcurrency": 20, "canary": false, "emails": ["ops@example.com"]}`}
	s, err := read(t, `{"settings": "prod.json", "reservedConcurrency": "30", "batchingWindowSeconds": "5", "segmentEndpoint": "eu", "writeKeyParameter": "none", "canaryWriteKey": "secret"}`, files)
	if err != nil {
		t.Fatal(err)
	}
	var shown bytes.Buffer
	s.Print(&shown)
	for _, want := range []string{
		"regions                  us-east-1,eu-west-1\n", "reservedConcurrency      30\n", "batchingWindowSeconds    5\n",
		"canary                   false\n",
		"emails                   ops@example.com\n", "segmentEndpoint          https://events.eu1.segmentapis.com\n",
		"writeKeyParameter        none\n",
		"canaryWriteKey           (set, SHA-256 2bb80d53)\n", "adoptQueues              auto\n",
	} {
		if !strings.Contains(shown.String(), want) {
			t.Errorf("shown:\n%s\nwant %q", &shown, want)
		}
	}
	if top := s.Topology(); top.EventSources[0].MaximumConcurrency != 27 {
		t.Errorf("maximum concurrency is %d", top.EventSources[0].MaximumConcurrency)
	}
}

func TestOtherDefaultsDependOnTheName(t *testing.T) {
	for _, c := range []struct {
		context, file, key, keys string
		protected                bool
	}{
		{`{}`, "", "/spillway/write-key", "/spillway/write-keys", true},
		{`{"name": "staging"}`, "", "/staging/write-key", "/staging/write-keys", false},
		{`{"name": "shop-dev2", "writeKeyParameter": "/mine"}`, "", "/mine", "/shop-dev2/write-keys", false},
		{`{"name": "device-events"}`, "", "/device-events/write-key", "/device-events/write-keys", true},
		{`{"writeKeysParameter": "none"}`, "", "/spillway/write-key", "", true},
		{`{"writeKeysParameter": "/a, /b"}`, "", "/spillway/write-key", "/a,/b", true},
		{`{"writeKeysObject": "s3://keys/web.json"}`, "", "/spillway/write-key", "", true},
		{`{"writeKeysObject": "none"}`, "", "/spillway/write-key", "/spillway/write-keys", true},
		{`{"writeKeysObject": "s3://keys/web.json", "writeKeysParameter": "/a"}`, "", "/spillway/write-key", "/a", true},
		{`{"settings": "f"}`, `{"name": "shop"}`, "/shop/write-key", "/shop/write-keys", true},
		{`{"name": "test", "terminationProtection": "true"}`, "", "/test/write-key", "/test/write-keys", true},
		{`{"terminationProtection": "false"}`, "", "/spillway/write-key", "/spillway/write-keys", false},
	} {
		s, err := read(t, c.context, map[string]string{"f": c.file})
		if err != nil || s.WriteKeyParameter != c.key || strings.Join(s.WriteKeysParameters, ",") != c.keys ||
			s.TerminationProtection != c.protected {
			t.Errorf("%s: %q, %q, protected %v, %v", c.context, s.WriteKeyParameter, s.WriteKeysParameters,
				s.TerminationProtection, err)
		}
	}
}

func TestTagsAreReadFromTextAndFromAnObject(t *testing.T) {
	for _, context := range []string{`{"tags": "team=data, env=prod=1"}`, `{"tags": {"env": "prod=1", "team": "data"}}`} {
		s, err := read(t, context, nil)
		if err != nil || text(s.Tags) != `{"env":"prod=1","team":"data"}` {
			t.Errorf("%s: %v, %v", context, s.Tags, err)
		}
	}
}

func TestAWrongSettingHasALineThatSaysWhatItMustBe(t *testing.T) {
	for _, c := range []struct{ context, want string }{
		{`{"ticketEmails": "Ops <ops@example.com>"}`, `ticketEmails must be e-mail addresses like ops@example.com`},
		{`{"runbook": "docs/runbook.md"}`, `runbook must be the URL of a runbook`},
		{`{"runbook": "https://wiki.example.com/x#y"}`, `runbook must be the URL of a runbook`},
		{`{"okNotifications": "sometimes"}`, `okNotifications must be true or false, is "sometimes"`},
		{`{"regions": "mars-north-1"}`, `regions: unknown region "mars-north-1", must be one like us-east-1`},
		{`{"regions": "eu-west-1,eu-west-1"}`, `regions must name each region once, has "eu-west-1" twice`},
		{`{"regions": "eu-west-1,cn-north-1"}`,
			`regions must be of one partition, because an account is: "eu-west-1" is of aws, and "cn-north-1" of aws-cn`},
		{`{"regions": ""}`, `regions must name at least one region`},
		{`{"reservedConcurrency": "1"}`,
			`reservedConcurrency must be at least 4, two for each event source, or none, is "1"`},
		{`{"reservedConcurrency": "many"}`,
			`reservedConcurrency must be at least 4, two for each event source, or none, is "many"`},
		{`{"reservedConcurrency": 5, "maximumConcurrency": 6}`,
			`maximum concurrencies of its event sources must be at most its reserved 5 in all, are 8`},
		{`{"maximumConcurrency": 1, "reservedConcurrency": "none"}`, `maximum concurrency must be 2 to 1000, is 1`},
		{`{"batchSize": 11, "batchingWindowSeconds": 0}`,
			`batching window must be at least 1s for a batch size of 11, is 0s`},
		{`{"batchSize": 10001}`, `batch size must be 1 to 10000, is 10001`},
		{`{"batchingWindowSeconds": 301}`, `batching window must be at most 5m0s, is 5m1s`},
		{`{"logRetentionDays": 31}`, `must be one of [1 3 5 7 14 30 60 90 120 150 180 365] days`},
		{`{"logLevel": "loud"}`, `logLevel must be debug or info or warn or error, is "loud"`},
		{`{"architecture": "mips"}`, `architecture must be arm64 or x86_64, is "mips"`},
		{`{"ingestEndpoint": "carrier-pigeon"}`,
			`ingestEndpoint must be http-api or function-url or none, is "carrier-pigeon"`},
		{`{"ingestEndpoint": "none"}`,
			`the canary needs an ingest endpoint: canary must be false with ingestEndpoint none`},
		{`{"requestsPerSecond": 0}`, `requestsPerSecond must be 1 to 10000, is 0`},
		{`{"fairQueues": "often"}`, `fairQueues must be auto or true or false`},
		{`{"pathPrefix": "/a?b"}`, `pathPrefix must be a path like /events`},
		{`{"publicURL": "events.example.com"}`, `publicURL must be a scheme and host, like https://events.example.com`},
		{`{"segmentEndpoint": "api.segment.io"}`, `segmentEndpoint must be us, eu or a URL, is "api.segment.io": `},
		{`{"writeKeyParameter": "a key"}`, `writeKeyParameter must be the name of an SSM parameter`},
		{`{"writeKeysParameter": "/a,a key"}`,
			`writeKeysParameter must be names of SSM parameters like /spillway/write-keys, each once, has "a key"`},
		{`{"writeKeysParameter": ["/a", "/a"]}`, `each once, has "/a"`},
		{`{"writeKeysObject": "keys/web.json"}`,
			`writeKeysObject: must be the address of an object, like s3://my-bucket/write-keys.json, is "keys/web.json"`},
		{`{"writeKeysObject": "s3://keys/*.json"}`, `writeKeysObject must have none of * ? $ in it`},
		{`{"writeKeysObject": "s3://keys/{region}.json", "regions": "us-east-1,eu-west-1"}`,
			`writeKeysObject must have {region} in the name of its bucket, as s3://keys-{region}/write-keys.json`},
		{`{"canaryWriteKey": "a key"}`, `the canary's write key must be spillway-canary`},
		{`{"canary": "perhaps"}`, `canary must be true or false, is "perhaps"`},
		{`{"emails": "ops@example.com,nobody"}`,
			`emails must be e-mail addresses like ops@example.com, has "nobody"`},
		{`{"kmsKeys": "alias/mine"}`, `kmsKeys must be ARNs like arn:aws:kms:`},
		{`{"kmsKeys": "arn:aws:kms:us-east-1:123456789012:key/a"}`,
			`kmsKeys must have a key of each region, has none of eu-west-1`},
		{`{"batchsize": 5}`, `unknown setting "batchsize" (known: settings, name, regions, reservedConcurrency`},
		{`{"name": "Staging"}`, `name: the pipeline's name must begin with a lower-case letter`},
		{`{"permissionsBoundary": "boundary"}`, `permissionsBoundary must be the ARN of an IAM policy, like arn:aws:iam::`},
		{`{"tags": "team"}`, `tags must be key=value pairs, like team=data,env=prod, is "team"`},
		{`{"tags": "team=a,team=b"}`, `the key team is there twice`},
		{`{"tags": "=a"}`, `tags must have keys of 1 to 128 characters and values of at most 256, has "=a"`},
		{`{"tags": {"team": "<data>"}}`, `tags must have letters, digits, spaces and _.:/=+-@ only, has "team=<data>"`},
		{`{"tags": "AWS:team=data"}`, `tags must not have keys that begin with aws:, has "AWS:team=data"`},
		{`{"tags": "pipeline=mine"}`, `tags must not have the key pipeline`},
		{`{"adoptQueues": "eu-west-1,us-east-1"}`,
			`adoptQueues must be auto, true, false or some of the regions, has "us-east-1"`},
		{`{"adoptQueues": "yes"}`, `adoptQueues must be auto, true, false or some of the regions, has "yes"`},
		{`{"terminationProtection": "off"}`, `terminationProtection must be true or false, is "off"`},
		{`{"settings": "None.json"}`, `read the settings file None.json: file does not exist`},
		{`{"settings": "list.json"}`, `read the settings file list.json: must be a JSON object like`},
		{`{"settings": "typo.json"}`, `unknown setting "regoins"`},
	} {
		_, err := read(t, c.context, map[string]string{"list.json": "[]", "typo.json": `{"regoins": "us-east-1"}`})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want a line with %q", c.context, err, c.want)
		}
	}
}

func TestEveryWrongSettingHasALine(t *testing.T) {
	_, err := read(t, `{"regions": "mars-north-1", "emails": "nobody", "batchSize": "x"}`, nil)
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("%v, want three lines", err)
	}
}

func TestASettingsFileThatCannotBeReadIsTheOnlyError(t *testing.T) {
	for _, context := range []string{`{"settings": "None.json"}`, `{"settings": "list.json"}`} {
		_, err := read(t, context, map[string]string{"list.json": "[]"})
		if err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line", context, err)
		}
	}
}

func TestTheDeploymentPageListsEverySetting(t *testing.T) {
	page, err := os.ReadFile("../../docs/deploy.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "| setting | default | |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	for _, s := range allSettings {
		if !strings.Contains(table, "`"+s.name+"`") {
			t.Errorf("the table of settings in docs/deploy.md lacks %s", s.name)
		}
	}
}

// The runbook deploys an earlier version with the settings that the stack keeps.
func TestTheSettingsThatAStackKeepsMakeTheSameDeployment(t *testing.T) {
	for _, context := range []string{
		`{}`,
		`{"name": "staging", "reservedConcurrency": "none", "maximumConcurrency": "5", "ingestEndpoint": "function-url", "canary": "false"}`,
		`{"writeKeysObject": "s3://keys/web.json"}`,
		`{"regions": "us-east-1,eu-west-1", "writeKeysObject": "s3://keys-{region}/web.json", "reservedConcurrency": 30, "segmentEndpoint": "eu", "writeKeyParameter": "none",
			"writeKeysParameter": "/a,/b", "emails": "a@example.com,b@example.com", "tags": {"team": "data and more", "env": "prod"},
			"publicURL": "https://events.example.com", "pathPrefix": "/events", "fairQueues": "true", "adoptQueues": "eu-west-1"}`,
	} {
		before, err := read(t, context, nil)
		if err != nil {
			t.Fatal(err)
		}
		after, err := read(t, `{"settings": "settings.json"}`, map[string]string{"settings.json": before.Kept()})
		if err != nil || after.Kept() != before.Kept() || text(after.Topology()) != text(before.Topology()) {
			t.Errorf("%s: %v\nbefore %s\nafter  %s", context, err, before.Kept(), after.Kept())
		}
	}
	secret, err := read(t, `{"canaryWriteKey": "secret", "emails": "`+strings.Repeat("someone@example.com,", 20)+`"}`, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = read(t, `{"settings": "settings.json"}`, map[string]string{"settings.json": secret.Kept()})
	for _, name := range []string{"canaryWriteKey", "emails"} {
		if err == nil || !strings.Contains(err.Error(), name+" is only the fingerprint") {
			t.Errorf("%s was kept as a fingerprint, and reading it back says %v", name, err)
		}
	}
}

// text is a value in a form that can be compared.
func text(value any) string {
	content, _ := json.Marshal(value)
	return string(content)
}
