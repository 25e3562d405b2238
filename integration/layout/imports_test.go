package layout

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/spillwayhq/spillway/"

// A layer is a set of packages that may import those of the layers in may.
type layer struct {
	name     string
	packages []string // a path that ends in "/..." stands for all packages below it
	may      []string // other layers; its own name: its packages may import each other, and not only as pairs says
}

// layers is the order of imports. Data comes in at the top and goes down; nothing imports upward.
var layers = []layer{
	{"library", []string{
		"shared/rawjson", "shared/spill", "shared/spill/spilltest", "shared/frame", "shared/diskdir", "shared/breaker",
		"shared/reload", "shared/env", "shared/operator", "shared/rollout",
		"shared/clientaddr", "shared/version", "shared/cgroup", "shared/heavy", "shared/chart", "docs",
		"infra/topology/metricmath", "infra/local/direct",
	}, nil},
	{"model", []string{
		"shared/event", "shared/message", "shared/archive", "shared/archive/dirstore", "shared/archive/storetest",
	}, []string{"library"}},
	{"adapter", []string{
		"shared/segment", "shared/sqsclient", "shared/ssm", "shared/emf", "shared/jsonlog", "shared/httpserver",
		"shared/apigateway",
		"shared/outbox", "shared/insights", "shared/cloudwatch", "shared/signed", "shared/eventbridge", "shared/trial",
		"shared/s3", "shared/archive/s3store", "shared/archive/firehose",
	}, []string{"model", "library"}},
	{"service", []string{
		"shared/ingest", "shared/ingest/writekeys", "shared/deliver", "shared/deadletter", "shared/canary", "shared/price",
		"shared/traffic", "shared/replay",
		"shared/status", "shared/status/dirstore", "shared/status/s3store", "shared/status/storetest",
		"shared/history", "shared/forget",
	}, []string{"adapter", "model", "library"}},
	{"publisher", []string{"shared/publisher", "shared/publisher/publishertest"}, []string{"adapter", "model", "library"}},
	{"app", []string{"shared/app/..."}, []string{"service", "adapter", "model", "library"}},
	{"function", []string{"functions/..."}, []string{"app", "service", "adapter", "model", "library"}},
	{"topology", []string{"infra/topology"}, []string{"service", "adapter", "model", "library"}},
	{"settings", []string{"infra/settings", "infra/functions", "infra/bundle", "infra/bundle/...", "infra/release"},
		[]string{"topology", "service", "adapter", "model", "library"}},
	{"emulator", []string{
		"infra/local/sqs/...", "infra/local/lambda/...", "infra/local/segmentd/...",
	}, []string{"library"}},
	{"alarms", []string{"infra/local/cloudwatch/...", "infra/local/codedeploy", "infra/local/route53"},
		[]string{"topology", "emulator", "adapter", "library"}},
	{"deployment", []string{"infra/aws", "infra/local"}, []string{
		"alarms", "settings", "topology", "emulator", "app", "service", "adapter", "model", "library",
	}},
	{"drill", []string{"infra/local/virtual", "infra/local/drill/..."}, []string{
		"drill", "deployment", "alarms", "topology", "emulator", "publisher", "app", "service", "adapter", "model", "library",
	}},
	{"command", []string{"cmd/spillway/..."}, []string{
		"command", "drill", "deployment", "alarms", "settings", "topology", "emulator", "publisher", "app", "service", "adapter", "model",
		"library",
	}},
	{"integration", []string{"integration/...", "events"}, []string{
		"integration", "drill", "deployment", "alarms", "settings", "topology", "emulator", "publisher", "app", "service", "adapter",
		"model", "library",
	}},
}

// pairs are the imports within a layer whose packages else do not know each other.
var pairs = map[string][]string{
	"infra/bundle/template":          {"infra/settings"},
	"infra/bundle/derive":            {"infra/settings", "infra/bundle/template"},
	"infra/bundle":                   {"infra/settings", "infra/bundle/template"},
	"infra/bundle/bundletest":        {"infra/bundle", "infra/bundle/released"},
	"infra/release":                  {"infra/functions", "infra/bundle", "infra/bundle/released"},
	"shared/forget":                  {"shared/deadletter"},
	"shared/env":                     {"shared/version"},
	"shared/spill":                   {"shared/frame", "shared/diskdir"},
	"infra/local/sqs":                {"infra/local/sqs/store"},
	"infra/local/cloudwatch/feed":    {"infra/local/cloudwatch"},
	"infra/local/codedeploy":         {"infra/local/cloudwatch"},
	"infra/local/route53":            {"infra/local/cloudwatch"},
	"shared/message":                 {"shared/event"},
	"shared/archive":                 {"shared/event", "shared/message"},
	"shared/archive/dirstore":        {"shared/archive"},
	"shared/archive/storetest":       {"shared/archive"},
	"shared/spill/spilltest":         {"shared/spill"},
	"shared/ingest/writekeys":        {"shared/ingest"},
	"shared/replay":                  {"shared/deadletter"},
	"shared/status/dirstore":         {"shared/status"},
	"shared/status/s3store":          {"shared/status"},
	"shared/status/storetest":        {"shared/status"},
	"shared/outbox":                  {"shared/sqsclient"},
	"shared/trial":                   {"shared/sqsclient"},
	"shared/cloudwatch":              {"shared/emf", "shared/insights"},
	"shared/eventbridge":             {"shared/signed"},
	"shared/s3":                      {"shared/signed"},
	"shared/archive/s3store":         {"shared/s3", "shared/signed"},
	"shared/archive/firehose":        {"shared/signed"},
	"shared/ssm":                     {"shared/signed"},
	"shared/publisher/publishertest": {"shared/publisher"},
	"shared/app/pipeline":            {"shared/app/deliver", "shared/app/ingest", "shared/app/canary"},
}

// forbidden are imports that a layer's place allows and its purpose does not.
var forbidden = map[string][]string{
	// A service says what it needs; who calls AWS or listens on a port is the wiring's business.
	"service": {"shared/ssm", "shared/httpserver", "shared/apigateway", "shared/outbox"},
	// The closure of other people's programs is small: see its own test as well.
	"publisher": {"shared/segment", "shared/ssm", "shared/httpserver", "shared/apigateway", "shared/outbox"},
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

// packages are all of the project's, with the imports of their code that is no test.
func packages(t *testing.T) []goPackage {
	t.Helper()
	all, err := listPackages()
	if err != nil {
		t.Fatalf("list the packages: %v", err)
	}
	return all
}

var listPackages = sync.OnceValues(func() (all []goPackage, err error) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		return nil, err
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		p.ImportPath = strings.TrimPrefix(p.ImportPath, module)
		all = append(all, p)
	}
})

func (l *layer) holds(path string) bool {
	return slices.ContainsFunc(l.packages, func(pattern string) bool {
		below, all := strings.CutSuffix(pattern, "/...")
		return path == below || all && strings.HasPrefix(path, below+"/")
	})
}

func layerOf(path string) *layer {
	i := slices.IndexFunc(layers, func(l layer) bool { return l.holds(path) })
	if i < 0 {
		return nil
	}
	return &layers[i]
}

// complaint is what is wrong with an import, empty if nothing is.
func complaint(from, to string) string {
	upper, lower := layerOf(from), layerOf(to)
	switch {
	case lower == nil:
		return "is in no layer: give it a place in layers"
	case slices.Contains(pairs[from], to):
		return ""
	case upper == lower && !slices.Contains(upper.may, upper.name):
		return "is beside it: two packages of one layer do not know each other"
	case !slices.Contains(upper.may, lower.name):
		return "is a " + lower.name + ", which a " + upper.name + " must not import"
	case slices.Contains(forbidden[upper.name], to):
		return "is an adapter that the wiring uses, not a " + upper.name
	}
	return ""
}

func TestImportsRunOneWay(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		if layerOf(p.ImportPath) == nil {
			t.Errorf("%s is in no layer: give it a place in layers", p.ImportPath)
			continue
		}
		for _, to := range p.Imports {
			if path, ours := strings.CutPrefix(to, module); ours {
				if c := complaint(p.ImportPath, path); c != "" {
					t.Errorf("%s imports %s, which %s", p.ImportPath, path, c)
				}
			}
		}
	}
}

func TestTheModelKnowsNoAWS(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		if l := layerOf(p.ImportPath); l == nil || l.name != "model" && l.name != "library" {
			continue
		}
		for _, to := range p.Imports {
			if strings.HasPrefix(to, "github.com/aws/") {
				t.Errorf("%s imports %s: it belongs into an adapter", p.ImportPath, to)
			}
		}
	}
}

func TestAnUpwardImportIsFound(t *testing.T) {
	for _, c := range [][2]string{
		{"shared/event", "shared/message"}, {"shared/message", "shared/sqsclient"}, {"shared/segment", "shared/deliver"},
		{"shared/deliver", "shared/ingest"}, {"shared/ingest", "shared/app/ingest"}, {"shared/app/deliver", "infra/topology"},
		{"infra/topology", "infra/local"}, {"shared/ingest", "shared/ssm"}, {"shared/publisher", "shared/deliver"},
		{"functions/deliver", "infra/topology"}, {"shared/event", "shared/new"}, {"infra/local/sqs", "infra/local/lambda"},
	} {
		if complaint(c[0], c[1]) == "" {
			t.Errorf("%s may import %s", c[0], c[1])
		}
	}
	for _, c := range [][2]string{
		{"shared/message", "shared/event"}, {"shared/deliver", "shared/message"},
		{"shared/app/pipeline", "shared/app/deliver"},
		{"cmd/spillway", "cmd/spillway/terminal"}, {"infra/local", "infra/local/sqs"}, {"infra/aws", "infra/topology"},
	} {
		if got := complaint(c[0], c[1]); got != "" {
			t.Errorf("%s must not import %s: it %s", c[0], c[1], got)
		}
	}
}
