package bundle_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/bundle"
	"github.com/spillwayhq/spillway/infra/bundle/bundletest"
	"github.com/spillwayhq/spillway/infra/settings"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil"
)

func TestMain(m *testing.M) {
	testutil.CollectLess(400) // as usual, a third of the CPU would be the collector's
	m.Run()
}

// usual are the settings of a deployment that chooses nothing but its region, changed.
func usual(t *testing.T, values ...string) *settings.Settings {
	t.Helper()
	s := settings.Default(topology.DefaultNames(), "eu-west-1")
	for i := 0; i < len(values); i += 2 {
		if err := s.Set(values[i], values[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Validate(settings.Partitions()); err != nil {
		t.Fatal(err)
	}
	return &s
}

func plan(t *testing.T, b *bundle.Bundle, values ...string) *bundle.Plan {
	t.Helper()
	p, err := b.Plan(usual(t, values...), false)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAPlanHasWhatToUploadAndToDeploy(t *testing.T) {
	b := bundletest.Open(t, "v1.2.3")
	p := plan(t, b, "name", "shop", "architecture", "x86_64", "tags", "team=data")
	if p.Stack != "shop-eu-west-1" || p.Region != "eu-west-1" || !p.TerminationProtection || b.Version() != "v1.2.3" {
		t.Errorf("the stack is %s in %s, protected %v", p.Stack, p.Region, p.TerminationProtection)
	}
	for name, want := range map[string]string{"application": "spillway", "pipeline": "shop", "team": "data",
		"version": "v1.2.3"} {
		if p.Tags[name] != want {
			t.Errorf("the tag %s is %q, want %q", name, p.Tags[name], want)
		}
	}
	if len(p.Files) != 4 {
		t.Fatalf("%d files, want one for each function", len(p.Files))
	}
	for i, function := range bundle.Functions() { // both in order
		f := p.Files[i]
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil || r.Close() != nil || string(content) != string(bundletest.Code("v1.2.3", function, "x86_64")) ||
			int64(len(content)) != f.Size {
			t.Errorf("%s is %q, %v", f.Key, content, err)
		}
		parameter := strings.ToUpper(function[:1]) + function[1:] + "Code"
		if f.Key != "functions/"+function+"-x86_64-"+f.SHA256+".zip" || p.Parameters[parameter] != f.Key {
			t.Errorf("the key of %s is %s, and the parameter %s is %s", function, f.Key, parameter, p.Parameters[parameter])
		}
	}
	var template struct {
		Parameters map[string]struct{ Type string }
	}
	if err := json.Unmarshal(p.Template, &template); err != nil {
		t.Fatal(err)
	}
	if _, ok := template.Parameters[bundle.BucketParameter]; !ok || len(template.Parameters) != len(p.Parameters)+1 {
		t.Errorf("the template has %d parameters, and the plan %d without the bucket", len(template.Parameters),
			len(p.Parameters))
	}
	for name := range p.Parameters {
		if _, ok := template.Parameters[name]; !ok {
			t.Errorf("the template has no parameter %s", name)
		}
	}
	if len(p.Template) < 51_200 || len(p.Template) > 1<<20 || len(template.Parameters) > 200 {
		t.Errorf("the template has %d bytes and %d parameters", len(p.Template), len(template.Parameters))
	}
	if again := plan(t, b, "name", "shop", "architecture", "x86_64", "tags", "team=data"); again.TemplateKey != p.TemplateKey ||
		!bytes.Equal(again.Template, p.Template) || !strings.Contains(p.TemplateKey, "templates/") {
		t.Errorf("the same plan is %s and %s", p.TemplateKey, again.TemplateKey)
	}
}

func TestTheSameContentsMakeTheSameBundle(t *testing.T) {
	var made [2][]byte
	for i := range made {
		content, err := os.ReadFile(bundletest.Write(t, "v1.2.3"))
		if err != nil {
			t.Fatal(err)
		}
		made[i] = content
	}
	if !bytes.Equal(made[0], made[1]) {
		t.Error("two bundles of the same contents differ")
	}
}

// versions are the logical IDs of the versions of functions, by function.
func versions(t *testing.T, p *bundle.Plan) map[string]string {
	t.Helper()
	var template struct {
		Resources map[string]struct {
			Type       string
			Properties struct{ Version, FunctionVersion any }
		}
	}
	if err := json.Unmarshal(p.Template, &template); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for id, r := range template.Resources {
		if r.Type == "AWS::Lambda::Version" {
			found[strings.ToLower(id[:strings.Index(id, "CurrentVersion")])] = id
		}
	}
	for function, id := range found { // what refers to it does so by this name
		if strings.Count(string(p.Template), `"`+id+`"`) < 2 {
			t.Errorf("nothing refers to the version %s of %s", id, function)
		}
	}
	return found
}

// CloudFormation makes a new version only of a resource that is new, and refuses one in which nothing
// is.
func TestAFunctionHasANewVersionIfItsCodeOrConfigurationIsAnotherOne(t *testing.T) {
	b := bundletest.Open(t, "v1.2.3")
	before := versions(t, plan(t, b))
	if len(before) != 2 {
		t.Fatalf("the versions are %v, want one of deliver and one of ingest", before)
	}
	for _, c := range []struct {
		name            string
		bundle          *bundle.Bundle
		values          []string
		deliver, ingest bool // a new one
	}{
		{"the same", b, nil, false, false},
		{"what is no part of a version", b, []string{"reservedConcurrency", "40", "tags", "team=data", "emails",
			"ops@example.com", "logRetentionDays", "60"}, false, false},
		{"a variable of both", b, []string{"logLevel", "debug"}, true, true},
		{"a variable of deliver", b, []string{"segmentEndpoint", "eu"}, true, false},
		{"a variable of ingest", b, []string{"publicURL", "https://events.example.com"}, false, true},
		{"the code", bundletest.Open(t, "v1.2.4"), nil, true, true},
		{"the architecture", b, []string{"architecture", "x86_64"}, true, true},
	} {
		after := versions(t, plan(t, c.bundle, c.values...))
		if got := after["deliver"] != before["deliver"]; got != c.deliver {
			t.Errorf("%s: deliver has a new version: %v, want %v", c.name, got, c.deliver)
		}
		if got := after["ingest"] != before["ingest"]; got != c.ingest {
			t.Errorf("%s: ingest has a new version: %v, want %v", c.name, got, c.ingest)
		}
	}
}

// hostile is a bundle with another manifest, and with other contents of files.
func hostile(t *testing.T, manifest func(map[string]any), contents map[string]string) string {
	t.Helper()
	z, err := zip.OpenReader(bundletest.Write(t, "v1.2.3"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	path := filepath.Join(t.TempDir(), "hostile.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(f)
	write := func(name string, content []byte) {
		part, err := w.Create(name)
		if err == nil {
			_, err = part.Write(content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, part := range z.File {
		r, err := part.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if part.Name == "manifest.json" && manifest != nil {
			var object map[string]any
			if err := json.Unmarshal(content, &object); err != nil {
				t.Fatal(err)
			}
			manifest(object)
			if content, err = json.Marshal(object); err != nil {
				t.Fatal(err)
			}
		}
		if other, ok := contents[part.Name]; ok {
			delete(contents, part.Name)
			if content = []byte(other); other == "" {
				continue
			}
		}
		write(part.Name, content)
	}
	for name, content := range contents {
		write(name, []byte(content))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestABundleThatIsNotOneOfAReleaseIsRefusedWithAReason(t *testing.T) {
	set := func(key string, value any) func(map[string]any) {
		return func(m map[string]any) { m[key] = value }
	}
	whole, err := os.ReadFile(bundletest.Write(t, "v1.2.3"))
	if err != nil {
		t.Fatal(err)
	}
	file := func(content []byte) string {
		path := filepath.Join(t.TempDir(), "a.zip")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct{ path, want string }{
		"none":      {filepath.Join(t.TempDir(), "none.zip"), "no such file"},
		"a folder":  {t.TempDir(), "it is no zip archive"},
		"empty":     {file(nil), "it is no zip archive, or not all of it is there: download it again"},
		"text":      {file([]byte("<html>Not Found</html>")), "it is no zip archive"},
		"truncated": {file(whole[:len(whole)-100]), "not all of it is there"},
		"another zip": {hostile(t, nil, map[string]string{"manifest.json": ""}),
			"it has no manifest.json, so it is no bundle of Spillway"},
		"a manifest of text": {hostile(t, nil, map[string]string{"manifest.json": "format 1"}), "read manifest.json"},
		"a manifest that is large": {hostile(t, nil, map[string]string{"manifest.json": strings.Repeat(" ", 2<<20)}),
			"it must have at most 1048576 bytes"},
		"a future format": {hostile(t, func(m map[string]any) { m["format"], m["functions"] = 2, "others" }, nil),
			"its format is 2, and this version reads format 1: use the spillway command of the same release"},
		"no format":          {hostile(t, func(m map[string]any) { delete(m, "format") }, nil), "its format is 0"},
		"a version of lines": {hostile(t, set("version", "v1\nv2"), nil), `the version must be like v1.2.3, is "v1\nv2"`},
		"a path": {hostile(t, set("template", map[string]any{"name": "../../template.json", "sha256": strings.Repeat("0", 64)}),
			nil), `it names the file "../../template.json", must be "template.json"`},
		"no sum": {hostile(t, set("template", map[string]any{"name": "template.json", "sha256": "0"}), nil),
			"must be 64 hexadecimal digits"},
		"no functions":    {hostile(t, set("functions", nil), nil), `it names the file ""`},
		"a function less": {hostile(t, nil, map[string]string{"functions/deliver-arm64.zip": ""}), "it has no functions/deliver-arm64.zip"},
		"a file more": {hostile(t, nil, map[string]string{"../../etc/passwd": "root"}),
			`it has "../../etc/passwd", which manifest.json does not list`},
	} {
		b, err := bundle.Open(c.path)
		if err == nil {
			_ = b.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.path) {
			t.Errorf("%s: %v, want an error with %q and the path", name, err, c.want)
		}
	}
}

func TestWhatIsNotOfTheReleaseIsNotDeployed(t *testing.T) {
	open := func(contents map[string]string) *bundle.Bundle {
		b, err := bundle.Open(hostile(t, nil, contents))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		return b
	}
	if _, err := open(map[string]string{"template.json": `{"Resources": {}}`}).Plan(usual(t), false); err == nil ||
		!strings.Contains(err.Error(), "template.json is not that of the release") {
		t.Errorf("another template: %v", err)
	}
	for _, content := range []string{"short", string(bundletest.Code("v1.2.4", "deliver", "arm64")), strings.Repeat("long", 1000)} {
		p := plan(t, open(map[string]string{"functions/deliver-arm64.zip": content}))
		for _, f := range p.Files {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.ReadAll(r)
			_ = r.Close()
			if wrong := strings.Contains(f.Key, "deliver"); wrong != (err != nil) ||
				wrong && !strings.Contains(err.Error(), "its content is not that of the release") {
				t.Errorf("%s with %.10q: %v", f.Key, content, err)
			}
		}
	}
}

// expressed are values of settings that a bundle can express, and refused are others, with the line
// that says so.
var (
	expressed = map[string][]string{
		"name": {"shop"}, "regions": {"us-gov-west-1"}, "reservedConcurrency": {"none", "40"}, "maximumConcurrency": {"4"},
		"batchSize": {"7"}, "batchingWindowSeconds": {"300"}, "logRetentionDays": {"365"}, "logLevel": {"error"},
		"architecture": {"x86_64"}, "rollout": {"all"}, "ingestEndpoint": {"function-url"}, "ingestFallbacks": {"false"},
		"requestsPerSecond": {"10000"}, "publicURL": {"https://events.example.com"}, "pathPrefix": {"/events"},
		"fairQueues": {"true", "false"}, "segmentEndpoint": {"eu"}, "segmentEndpointParameter": {"/a/endpoint"},
		"writeKeyParameter": {"none", "key"}, "writeKeysParameter": {"none", "/a/keys"},
		"writeKeysObject": {"s3://keys-{region}/write-keys.json"}, "canaryWriteKey": {"secret"},
		"emails": {"none", "ops@example.com"}, "ticketEmails": {"none", "dev@example.com"}, "okNotifications": {"false"},
		"eventBridge": {"true"}, "archive": {"true"}, "archiveDays": {"3650"}, "archiveTable": {"true"},
		"runbook": {"https://wiki.example.com/runbook"}, "permissionsBoundary": {"arn:aws:iam::123456789012:policy/boundary"},
		"tags": {"team=data"}, "terminationProtection": {"false"}, "adoptQueues": {"auto", "true", "false", "eu-west-1"},
		"canary": {"true"}, "domain": {"none"}, "hostedZone": {"none"}, "hostedZoneId": {"none"}, "certificates": {"none"},
		"kmsKeys": {"none"}, "statusRegion": {"none"}, "statusDomain": {"none"}, "statusCertificate": {"none"},
		"statusSite": {"none"},
	}
	refused = map[string][2]string{
		"regions":            {"eu-west-1,us-east-1", "regions must be one, are 2: deploy with the CDK (docs/deploy.md)"},
		"ingestEndpoint":     {"none", "ingestEndpoint=none is not in the template of a release: deploy with the CDK"},
		"canary":             {"false", "canary=false is not in the template of a release: deploy with the CDK"},
		"writeKeysParameter": {"/a,/b", "writeKeysParameter must be one parameter, are 2: deploy with the CDK"},
		"emails":             {"a@example.com,b@example.com", "emails must be one address, are 2: deploy with the CDK"},
		"ticketEmails":       {"a@example.com,b@example.com", "ticketEmails must be one address, are 2: deploy with the CDK"},
		"domain":             {"events.example.com", "domain is not in the template of a release: deploy with the CDK"},
		"hostedZone":         {"example.com", "hostedZone is not in the template of a release: deploy with the CDK"},
		"hostedZoneId":       {"Z0123", "hostedZoneId is not in the template of a release: deploy with the CDK"},
		"certificates": {"arn:aws:acm:eu-west-1:123456789012:certificate/12345678-1234-1234-1234-123456789012",
			"certificates is not in the template of a release: deploy with the CDK"},
		"kmsKeys": {"arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
			"kmsKeys is not in the template of a release: deploy with the CDK"},
		"statusRegion": {"us-east-1", "statusRegion is not in the template of a release: deploy with the CDK"},
		"statusDomain": {"status.example.com", "statusDomain is not in the template of a release: deploy with the CDK"},
		"statusCertificate": {"arn:aws:acm:us-east-1:123456789012:certificate/12345678-1234-1234-1234-123456789012",
			"statusCertificate is not in the template of a release: deploy with the CDK"},
		"statusSite": {"site.json", "statusSite is not in the template of a release: deploy with the CDK"},
	}
)

func TestEverySettingIsExpressedOrRefused(t *testing.T) {
	b := bundletest.Open(t, "v1.2.3")
	if err := os.WriteFile(filepath.Join(t.TempDir(), "site.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before := plan(t, b)
	for _, name := range settings.Names() {
		if len(expressed[name]) == 0 && refused[name][0] == "" {
			t.Errorf("the setting %s is neither expressed nor refused", name)
		}
		for _, value := range expressed[name] {
			values := []string{name, value}
			if name == "archiveTable" || name == "archiveDays" {
				values = append(values, "archive", "true")
			}
			p := plan(t, b, values...)
			// A value that is not the default one changes the deployment, be it only by the output
			// that keeps the settings.
			now := usual(t, values...).Kept()
			if (now != usual(t).Kept()) != (p.Parameters["Settings"] != before.Parameters["Settings"]) {
				t.Errorf("%s=%s: the parameter Settings is %s", name, value, p.Parameters["Settings"])
			}
		}
		if refused[name][0] == "" {
			continue
		}
		s := settings.Default(topology.DefaultNames(), "eu-west-1")
		if name == "statusSite" {
			s.StatusSite = refused[name][0] // which must be a file otherwise
		} else if err := s.Set(name, refused[name][0]); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Plan(&s, false); err == nil || !strings.HasPrefix(err.Error(), refused[name][1]) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%s=%s: %v, want a line %q", name, refused[name][0], err, refused[name][1])
		}
	}
	for _, name := range append(keys(expressed), keys(refused)...) {
		found := false
		for _, known := range settings.Names() {
			found = found || known == name
		}
		if !found {
			t.Errorf("there is no setting %s", name)
		}
	}
}

func keys[V any](m map[string]V) (all []string) {
	for key := range m {
		all = append(all, key)
	}
	return all
}
