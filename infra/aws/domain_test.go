package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	acmtypes "github.com/aws/aws-sdk-go-v2/service/acm/types"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/spillwayhq/spillway/infra/settings"
	"github.com/spillwayhq/spillway/infra/topology"
)

const (
	someZone        = "Z0123456789ABCDEFGHIJ"
	someCertificate = "arn:aws:acm:eu-west-1:123456789012:certificate/12345678-1234-1234-1234-123456789012"
)

// shared are the settings of one name in front of two regions.
func shared(change func(*settings.Settings)) *settings.Settings {
	s := settings.Default(topology.DefaultNames(), "eu-west-1")
	s.Regions = []string{"us-east-1", "eu-west-1"}
	s.Domain, s.HostedZone, s.HostedZoneID = "events.example.com", "example.com", someZone
	change(&s)
	return &s
}

// apart are those of shared, of regions that otherwise share nothing.
func apart() *settings.Settings {
	return shared(func(s *settings.Settings) { s.IngestFallbacks, s.FairQueues = false, "true" })
}

// elsewhere are those of one name whose zone is not in this account. The regions have KMS keys, and
// may send to each other's queues.
func elsewhere() *settings.Settings {
	return shared(func(s *settings.Settings) {
		s.HostedZone, s.HostedZoneID = "", ""
		s.Certificates = []string{someCertificate, strings.Replace(someCertificate, "eu-west-1", "us-east-1", 1)}
		s.KMSKeys = []string{"arn:aws:kms:us-east-1:123456789012:key/11111111-1111-1111-1111-111111111111",
			"arn:aws:kms:eu-west-1:123456789012:key/22222222-2222-2222-2222-222222222222"}
	})
}

// alone are those of one name, behind a CDN's, in front of one region.
func alone() *settings.Settings {
	return shared(func(s *settings.Settings) {
		s.Regions, s.PublicURL, s.StatusRegions = []string{"eu-west-1"}, "https://cdn.example.com", []string{"eu-central-1"}
	})
}

// inZone are the stacks of settings whose zone has an ID, by region. They are made once.
func inZone(t *testing.T, s *settings.Settings) map[string]template {
	t.Helper()
	return onceIn(t, "with a zone", s, environment{zoneID: someZone})
}

func TestEachRegionMakesItsOwnPartOfTheSharedName(t *testing.T) {
	templates := inZone(t, apart())
	for region, tmpl := range templates {
		get := func(id, attribute string) string { return `{"Fn::GetAtt":["` + id + `","` + attribute + `"]}` }
		domain := only(t, tmpl, "AWS::ApiGatewayV2::DomainName")
		certificate := only(t, tmpl, "AWS::CertificateManager::Certificate")
		for _, config := range tmpl.Resources[domain].at("DomainNameConfigurations").([]any) {
			if got, want := text(config), `{"CertificateArn":{"Ref":"`+certificate+`"},"EndpointType":"REGIONAL",`+
				`"IpAddressType":"dualstack","SecurityPolicy":"TLS_1_2"}`; got != want {
				t.Errorf("%s: the domain has %s, want %s", region, got, want)
			}
		}
		if got := text(tmpl.Resources[certificate].at("DomainValidationOptions")); got !=
			`[{"DomainName":"events.example.com","HostedZoneId":"`+someZone+`"}]` {
			t.Errorf("%s: the certificate is validated by %s", region, got)
		}
		mapping := only(t, tmpl, "AWS::ApiGatewayV2::ApiMapping")
		api := only(t, tmpl, "AWS::ApiGatewayV2::Api")
		if m := tmpl.Resources[mapping]; text(m.at("ApiId")) != `{"Ref":"`+api+`"}` || m.at("Stage") != "$default" ||
			text(m.at("DomainName")) != `{"Ref":"`+domain+`"}` || m.at("ApiMappingKey") != nil {
			t.Errorf("%s: the mapping is %v", region, m.Properties)
		}
		kinds := map[string]bool{}
		for id, r := range tmpl.exactly(t, 2, "AWS::Route53::RecordSet") {
			kinds[fmt.Sprint(r.at("Type"))] = true
			if r.at("Name") != "events.example.com" || r.at("HostedZoneId") != someZone || r.at("Region") != region ||
				r.at("SetIdentifier") != region || text(r.at("AliasTarget")) != `{"DNSName":`+get(domain, "RegionalDomainName")+
				`,"EvaluateTargetHealth":false,"HostedZoneId":`+get(domain, "RegionalHostedZoneId")+`}` {
				t.Errorf("%s: %s is %v", region, id, r.Properties)
			}
			if needs := tmpl.dependencies(t, id); !slices.Contains(needs, mapping) || !slices.Contains(needs, api) {
				t.Errorf("%s: %s leads here before all works, it waits for %v", region, id, needs)
			}
		}
		if !kinds["A"] || !kinds["AAAA"] {
			t.Errorf("%s: records of the types %v", region, kinds)
		}
		if _, elsewhere := tmpl.Outputs[topology.OutputDomainRecords]; elsewhere ||
			tmpl.Outputs[topology.OutputIngestURL].Value != "https://events.example.com" ||
			text(tmpl.Outputs[topology.OutputIngestTarget].Value) != get(domain, "RegionalDomainName") {
			t.Errorf("%s: outputs %v", region, tmpl.Outputs)
		}
	}
	if len(templates) != 2 {
		t.Errorf("%d stacks", len(templates))
	}
}

// only is the ID of the one resource of a type.
func only(t *testing.T, tmpl template, kind string) string {
	t.Helper()
	for id := range tmpl.exactly(t, 1, kind) {
		return id
	}
	return ""
}

// dependencies are what a resource explicitly waits for.
func (t template) dependencies(tb testing.TB, id string) []string {
	tb.Helper()
	var all struct {
		Resources map[string]struct{ DependsOn []string }
	}
	if err := json.Unmarshal(t.content, &all); err != nil {
		tb.Fatal(err)
	}
	return all.Resources[id].DependsOn
}

// A region that others have taken over from must still find out by itself when it is well again.
func TestTheCanaryDialsItsOwnRegionUnderTheSharedName(t *testing.T) {
	n := topology.DefaultNames()
	for region, tmpl := range inZone(t, apart()) {
		domain := only(t, tmpl, "AWS::ApiGatewayV2::DomainName")
		variables := tmpl.named(t, "AWS::Lambda::Function", "FunctionName", n.CanaryFunction).at("Environment", "Variables")
		has, _ := variables.(map[string]any)
		if has["SPILLWAY_INGEST_URL"] != "https://events.example.com" ||
			text(has["SPILLWAY_INGEST_DIAL"]) != `{"Fn::GetAtt":["`+domain+`","RegionalDomainName"]}` {
			t.Errorf("%s: the canary has %v", region, has)
		}
		if url := tmpl.named(t, "AWS::Lambda::Function", "FunctionName", n.IngestFunction).at("Environment", "Variables",
			"SPILLWAY_PUBLIC_URL"); url != "https://events.example.com" {
			t.Errorf("%s: SDKs are told %v", region, url)
		}
	}
	tmpl := defaults(t)
	if strings.Contains(string(tmpl.content), "SPILLWAY_INGEST_DIAL") {
		t.Error("without a domain the canary dials something")
	}
	behind := inZone(t, alone())["eu-west-1"]
	if url := behind.named(t, "AWS::Lambda::Function", "FunctionName", n.IngestFunction).at("Environment", "Variables",
		"SPILLWAY_PUBLIC_URL"); url != "https://cdn.example.com" {
		t.Errorf("behind a CDN SDKs are told %v", url)
	}
}

func TestARecordHasAHealthCheckOfTheRegionsOwnAlarms(t *testing.T) {
	s := apart()
	routing := s.Topology().Routing
	if len(routing) < 2 {
		t.Fatalf("%d alarms are for routing", len(routing))
	}
	for region, tmpl := range inZone(t, s) {
		checks := tmpl.exactly(t, len(routing)+1, "AWS::Route53::HealthCheck")
		parent, children := "", map[string]bool{}
		watched := map[string]bool{}
		for id, r := range checks {
			config := r.at("HealthCheckConfig").(map[string]any)
			if config["Type"] == "CALCULATED" {
				parent = id
				continue
			}
			children[id] = true
			name, _ := r.at("HealthCheckConfig", "AlarmIdentifier", "Name").(string)
			i := slices.IndexFunc(routing, func(a topology.Alarm) bool { return a.Name == name })
			if i < 0 || watched[name] || r.at("HealthCheckConfig", "AlarmIdentifier", "Region") != region ||
				config["Type"] != "CLOUDWATCH_METRIC" || config["Inverted"] != nil {
				t.Errorf("%s: %s is %v", region, id, config)
				continue
			}
			watched[name] = true
			want := map[bool]string{true: "Unhealthy", false: "LastKnownStatus"}[routing[i].Missing == topology.MissingIsBad]
			if config["InsufficientDataHealthStatus"] != want {
				t.Errorf("%s: without data %s is %v, want %s", region, name, config["InsufficientDataHealthStatus"], want)
			}
			needs := tmpl.dependencies(t, id)
			if len(needs) != 1 || tmpl.Resources[needs[0]].at("AlarmName") != name {
				t.Errorf("%s: the check of %s waits for %v", region, name, needs)
			}
		}
		config := checks[parent].at("HealthCheckConfig").(map[string]any)
		if config["HealthThreshold"] != float64(len(routing)) {
			t.Errorf("%s: %v of %d checks must be healthy", region, config["HealthThreshold"], len(routing))
		}
		for _, child := range config["ChildHealthChecks"].([]any) {
			delete(children, child.(map[string]any)["Fn::GetAtt"].([]any)[0].(string))
		}
		if len(children) > 0 {
			t.Errorf("%s: %v are not part of the region's check", region, children)
		}
		want := `{"Fn::GetAtt":["` + parent + `","HealthCheckId"]}`
		for id, r := range tmpl.exactly(t, 2, "AWS::Route53::RecordSet") {
			if text(r.at("HealthCheckId")) != want {
				t.Errorf("%s: %s has the check %v, want %s", region, id, r.at("HealthCheckId"), want)
			}
		}
		if text(tmpl.Outputs[topology.OutputHealthCheck].Value) != want {
			t.Errorf("%s: outputs %v", region, tmpl.Outputs)
		}
	}
}

// Route 53 copies an alarm once: a check that stayed would watch the numbers of an earlier version.
func TestAnAlarmWithOtherNumbersHasANewHealthCheck(t *testing.T) {
	a := apart().Topology().Routing[0]
	before := copied(&a)
	tmpl := inZone(t, apart())["eu-west-1"]
	if ids := slices.Collect(maps.Keys(tmpl.of("AWS::Route53::HealthCheck"))); !slices.ContainsFunc(ids,
		func(id string) bool { return strings.HasSuffix(id, "Check"+before) }) {
		t.Errorf("none of the checks %v has %s, the hash of what it copies", ids, before)
	}
	other := a
	if other.Meaning, other.Runbook = "something else.", "https://wiki.example.com"; copied(&other) != before {
		t.Error("another text makes another check")
	}
	for name, change := range map[string]func(*topology.Alarm){
		"threshold": func(a *topology.Alarm) { a.Threshold++ }, "comparison": func(a *topology.Alarm) { a.Below = !a.Below },
		"period": func(a *topology.Alarm) { a.Period *= 2 }, "periods": func(a *topology.Alarm) { a.Periods++ },
		"statistic": func(a *topology.Alarm) {
			a.Metrics = []topology.Metric{a.Metrics[0]}
			a.Metrics[0].Statistic = "Average"
		},
	} {
		if other := a; func() bool { change(&other); return copied(&other) == before }() {
			t.Errorf("another %s makes no other check", name)
		}
	}
}

func TestOneRegionAloneHasALatencyRecordWithoutAHealthCheck(t *testing.T) {
	tmpl := inZone(t, alone())["eu-west-1"]
	for id, r := range tmpl.exactly(t, 2, "AWS::Route53::RecordSet") {
		if r.at("Region") != "eu-west-1" || r.at("HealthCheckId") != nil {
			t.Errorf("%s is %v", id, r.Properties)
		}
	}
	tmpl.exactly(t, 0, "AWS::Route53::HealthCheck")
	if _, has := tmpl.Outputs[topology.OutputHealthCheck]; has {
		t.Error("the health check is among the outputs")
	}
}

func TestTheStatusFunctionIsToldTheHostOfEachRegionBehindTheSharedName(t *testing.T) {
	tmpl := inZone(t, alone())["eu-west-1"]
	domain := only(t, tmpl, "AWS::ApiGatewayV2::DomainName")
	value := tmpl.named(t, "AWS::SSM::Parameter", "Name", "/spillway/"+topology.IngestURLParameter).at("Value")
	if got, want := text(value), `{"Fn::Join":["#",["https://events.example.com",{"Fn::GetAtt":["`+
		domain+`","RegionalDomainName"]}]]}`; got != want {
		t.Errorf("it is told %s, want %s", got, want)
	}
}

func TestWhereTheZoneIsElsewhereTheOutputsHaveTheRecordsToMake(t *testing.T) {
	for region, tmpl := range once(t, elsewhere()) {
		tmpl.exactly(t, 0, "AWS::Route53::RecordSet")
		tmpl.exactly(t, 0, "AWS::CertificateManager::Certificate")
		domain := tmpl.Resources[only(t, tmpl, "AWS::ApiGatewayV2::DomainName")]
		if !strings.Contains(text(domain.Properties), `"CertificateArn":"arn:aws:acm:`+region+`:`) {
			t.Errorf("%s: the domain is %v", region, domain.Properties)
		}
		output, _ := tmpl.Outputs[topology.OutputDomainRecords].Value.(map[string]any)
		join, _ := output["Fn::Join"].([]any)
		var batch strings.Builder
		for _, part := range join[1].([]any) {
			if literal, ok := part.(string); ok {
				batch.WriteString(literal)
			} else {
				batch.WriteString("VALUE")
			}
		}
		want := `{"Changes":[`
		for i, kind := range []string{"A", "AAAA"} {
			if i > 0 {
				want += ","
			}
			want += `{"Action":"UPSERT","ResourceRecordSet":{"AliasTarget":{"DNSName":"VALUE","EvaluateTargetHealth":false,` +
				`"HostedZoneId":"VALUE"},"HealthCheckId":"VALUE","Name":"events.example.com","Region":"` + region +
				`","SetIdentifier":"` + region + `","Type":"` + kind + `"}}`
		}
		if want += "]}"; batch.String() != want {
			t.Errorf("%s: the records to make are\n%s, want\n%s", region, &batch, want)
		}
	}
}

func TestAWrongDomainHasALineThatSaysWhatItMustBe(t *testing.T) {
	for _, c := range []struct{ context, want string }{
		{`{"domain": "https://events.example.com"}`, `domain must be a host name in lower case that SDKs use in every region`},
		{`{"domain": "Events.example.com"}`, `domain must be a host name in lower case that`},
		{`{"domain": "events.example.com", "hostedZone": "Example.com"}`,
			`hostedZone must be the name of a public hosted zone of Route 53 in lower case, like example.com`},
		{`{"domain": "events.example.com", "hostedZone": "example.org"}`,
			`domain events.example.com is outside of hostedZone example.org: it must be example.org, or end with .example.org`},
		{`{"domain": "myexample.com", "hostedZone": "example.com"}`, `is outside of hostedZone example.com`},
		{`{"domain": "events.example.com", "hostedZone": "example.com", "hostedZoneId": "example.com"}`,
			`hostedZoneId must be the ID of a hosted zone, like Z0123456789ABCDEFGHIJ`},
		{`{"domain": "events.example.com", "hostedZoneId": "Z1", "certificates": "` + someCertificate + `"}`,
			`hostedZoneId needs hostedZone, the zone's name`},
		{`{"hostedZone": "example.com"}`, `hostedZone needs domain`},
		{`{"certificates": "` + someCertificate + `"}`, `certificates needs domain`},
		{`{"domain": "events.example.com"}`,
			`certificates has none of eu-west-1, and without hostedZone no stack can have one validated`},
		{`{"domain": "events.example.com", "regions": "us-east-1", "certificates": "` + someCertificate + `"}`,
			`certificates must be of the regions us-east-1, because an API reads only those of its own, has one of eu-west-1`},
		{`{"domain": "events.example.com", "certificates": "mine"}`, `certificates must be ARNs like arn:aws:acm:eu-west-1:`},
		{`{"domain": "events.example.com", "certificates": ["` + someCertificate + `", "` +
			someCertificate[:len(someCertificate)-1] +
			`3"]}`, `certificates must be one for each region, has several of eu-west-1`},
		{`{"domain": "` + strings.Repeat("a", 60) + `.example.com", "hostedZone": "example.com"}`,
			`domain must have at most 64 characters for a new certificate, has 72: request one in eu-west-1`},
		{`{"domain": "events.example.com", "hostedZone": "example.com", "ingestEndpoint": "function-url"}`,
			`domain needs ingestEndpoint=http-api, because nothing else can have a domain of its own, is function-url`},
		{`{"domain": "events.example.com", "hostedZone": "example.com", "regions": "us-iso-east-1"}`,
			`domain: Route 53 has no latency records for us-iso-east-1`},
		{`{"domain": "events.example.com", "hostedZone": "example.com", "canary": false, "regions": "us-east-1,eu-west-1"}`,
			`domain needs canary=true with several regions`},
		{`{"domain": "a.example.com", "hostedZone": "example.com", "statusRegion": "eu-central-1",
			"statusDomain": "a.example.com", "statusCertificate": "` + strings.Replace(someCertificate, "eu-west-1", "us-east-1", 1) +
			`"}`, `domain and statusDomain must differ, both are a.example.com`},
	} {
		_, err := read(t, c.context)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want only a line with %q", c.context, err, c.want)
		}
	}
	for _, good := range []string{
		`{"domain": "events.example.com", "hostedZone": "example.com"}`,
		`{"domain": "example.com", "hostedZone": "example.com"}`,
		`{"domain": "events.example.com", "certificates": "` + someCertificate + `"}`,
		`{"domain": "events.example.com", "hostedZone": "example.com", "canary": false}`,
		`{"domain": "events.example.com", "hostedZone": "example.com", "regions": "us-east-1,eu-west-1", "certificates": "` +
			someCertificate + `"}`,
	} {
		if _, err := read(t, good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}

// A forgotten setting has its default again. This one is the address of all SDKs.
func TestANameIsNotTakenAwayByForgettingTheSetting(t *testing.T) {
	had := map[string]deployed{"eu-west-1": {settings: map[string]string{"domain": "events.example.com",
		"hostedZone": "example.com"}}}
	const (
		domain = "domain: spillway-eu-west-1 is deployed behind events.example.com, and without the setting SDKs would " +
			"find nothing there: give domain=events.example.com, or domain=none if it shall go"
		records = "hostedZone: spillway-eu-west-1 made the records of events.example.com in example.com, and without the " +
			"setting it would delete them: give hostedZone=example.com, or hostedZone=none if they are made elsewhere"
		certificate = `"certificates": "arn:aws:acm:eu-west-1:123456789012:certificate/12345678-1234-1234-1234-123456789012"`
	)
	for _, c := range []struct {
		context string
		before  map[string]deployed
		want    string // empty: it is not refused
	}{
		{`{}`, had, domain},
		{`{"domain": "none"}`, had, ""},
		{`{"domain": "events.example.com", "hostedZone": "example.com"}`, had, ""},
		{`{"domain": "events.example.com", ` + certificate + `}`, had, records},
		{`{"domain": "events.example.com", "hostedZone": "none", ` + certificate + `}`, had, ""},
		{`{"domain": "other.example.com", ` + certificate + `}`, had, ""}, // which has no records yet
		{`{}`, map[string]deployed{"eu-west-1": {settings: map[string]string{"domain": "none"}}}, ""},
		{`{}`, map[string]deployed{"eu-west-1": {err: errNotAsked}}, ""},
		{`{}`, nil, ""},
	} {
		s, err := read(t, c.context)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkGiven(&s, c.before); (err != nil) != (c.want != "") || err != nil && err.Error() != c.want {
			t.Errorf("%s after %v: %v", c.context, c.before, err)
		}
	}
}

func hosted(id, name string) r53types.HostedZone {
	return r53types.HostedZone{Id: aws.String("/hostedzone/" + id), Name: aws.String(name)}
}

func record(kind r53types.RRType, region string) r53types.ResourceRecordSet {
	return r53types.ResourceRecordSet{Name: aws.String("events.example.com."), Type: kind,
		Region: r53types.ResourceRecordSetRegion(region), SetIdentifier: aws.String("set-" + region)}
}

// What CloudFormation would find out only after it has made something else, in minutes or after days.
func TestWhatAWSHasIsCheckedBeforeAnythingIsMade(t *testing.T) {
	issued := &acmtypes.CertificateDetail{DomainName: aws.String("*.example.com"),
		Status: acmtypes.CertificateStatusIssued}
	ours := map[string]deployed{"eu-west-1": {settings: map[string]string{"domain": "events.example.com",
		"hostedZone": "example.com"}}, "us-east-1": {err: errNotAsked}}
	private := hosted(someZone, "example.com.")
	private.Config = &r53types.HostedZoneConfig{PrivateZone: true}
	found := []r53types.HostedZone{hosted(someZone, "example.com.")}
	for name, c := range map[string]struct {
		zone   zone
		change func(*settings.Settings)
		before map[string]deployed
		want   string // empty: nothing is wrong
	}{
		"all is well": {zone: zone{found: found}},
		"AWS can't be asked": {zone: zone{err: errors.New("no AWS credentials")},
			want: `hostedZone example.com: its ID is not known, because AWS could not be asked: give it as hostedZoneId: no AWS credentials`},
		"nor for a zone with ID": {zone: zone{err: errors.New("no AWS credentials")},
			change: func(s *settings.Settings) { s.HostedZoneID = someZone }},
		"no zone": {want: `hostedZone: this account has no public hosted zone example.com; leave hostedZone out if the zone is elsewhere`},
		"two zones": {zone: zone{found: append([]r53types.HostedZone{hosted("Z2", "example.com.")}, found...)},
			want: `several public hosted zones example.com: give one of Z2, ` + someZone + ` as hostedZoneId`},
		"no zone with the ID": {change: func(s *settings.Settings) { s.HostedZoneID = "Z1" },
			want: `hostedZoneId: this account has no hosted zone Z1`},
		"another zone's ID": {zone: zone{found: []r53types.HostedZone{hosted(someZone, "example.org.")}},
			change: func(s *settings.Settings) { s.HostedZoneID = someZone },
			want:   `is example.org, and not example.com as hostedZone says`},
		"a private zone's ID": {zone: zone{found: []r53types.HostedZone{private}},
			change: func(s *settings.Settings) { s.HostedZoneID = someZone }, want: `is a private one`},
		"a plain record": {zone: zone{found: found, records: []r53types.ResourceRecordSet{record("A", "")}},
			want: `domain: the hosted zone already has a record A of events.example.com`},
		"a CNAME": {zone: zone{found: found, records: []r53types.ResourceRecordSet{record("CNAME", "")}},
			want: `already has a record CNAME of events.example.com`},
		"records of other types": {zone: zone{found: found,
			records: []r53types.ResourceRecordSet{record("TXT", ""), record("CAA", "")}}},
		"our own record": {zone: zone{found: found, records: []r53types.ResourceRecordSet{record("A", "eu-west-1")}},
			before: ours},
		"a record of a region that can't be asked": {zone: zone{found: found,
			records: []r53types.ResourceRecordSet{record("A", "us-east-1")}}, before: ours},
		"another's record": {zone: zone{found: found, records: []r53types.ResourceRecordSet{record("AAAA", "eu-west-1")}},
			before: map[string]deployed{"eu-west-1": {}},
			want:   `already has a latency record AAAA of events.example.com for eu-west-1 (set-eu-west-1), which the stack there did not make`},
		"our own record of another domain": {zone: zone{found: found,
			records: []r53types.ResourceRecordSet{record("A", "eu-west-1")}},
			before: map[string]deployed{"eu-west-1": {settings: map[string]string{"domain": "a.example.com"}}},
			want:   `did not make`},
		"a domain that somebody made by hand": {zone: zone{found: found, custom: map[string]bool{"eu-west-1": true}},
			want: `domain: API Gateway in eu-west-1 already has events.example.com, which the stack there did not make`},
		"our own domain": {zone: zone{found: found, custom: map[string]bool{"eu-west-1": true, "us-east-1": true}},
			before: ours},
		"a good certificate": {zone: zone{found: found,
			certificates: map[string]*acmtypes.CertificateDetail{someCertificate: issued}},
			change: func(s *settings.Settings) { s.Certificates = []string{someCertificate} }},
		"no certificate": {zone: zone{found: found}, change: func(s *settings.Settings) { s.Certificates = []string{someCertificate} },
			want: `certificates: there is no ` + someCertificate},
		"another name's certificate": {zone: zone{found: found, certificates: map[string]*acmtypes.CertificateDetail{
			someCertificate: {DomainName: aws.String("*.eu.example.com"), SubjectAlternativeNames: []string{"example.com"},
				Status: acmtypes.CertificateStatusIssued}}},
			change: func(s *settings.Settings) { s.Certificates = []string{someCertificate} },
			want:   ` is of *.eu.example.com, example.com, and not of events.example.com`},
		"a certificate that is not validated": {zone: zone{found: found, certificates: map[string]*acmtypes.CertificateDetail{
			someCertificate: {DomainName: aws.String("events.example.com"),
				Status: acmtypes.CertificateStatusPendingValidation}}},
			change: func(s *settings.Settings) { s.Certificates = []string{someCertificate} },
			want:   ` is PENDING_VALIDATION, must be ISSUED`},
	} {
		s := shared(func(s *settings.Settings) { s.HostedZoneID = "" })
		if c.change != nil {
			c.change(s)
		}
		err := c.zone.check(s, c.before)
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) ||
			strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: %v, want one line with %q", name, err, c.want)
		}
	}
}

func TestWhatIsNoReasonToStopIsTold(t *testing.T) {
	good := zone{found: []r53types.HostedZone{hosted(someZone, "example.com.")},
		nameServers: []string{"ns-1.example.net", "ns-2.example.net"},
		delegated:   []string{"NS-2.example.net.", "ns-1.example.net."},
		records:     []r53types.ResourceRecordSet{record("A", "eu-west-1")}}
	s := shared(func(*settings.Settings) {})
	if notes := good.tell(s); notes != nil {
		t.Errorf("where all is well it says %q", notes)
	}
	left, foreign := good, good
	left.records = []r53types.ResourceRecordSet{record("A", "eu-west-3"), record("AAAA", "eu-west-3")}
	foreign.delegated = []string{"ns.registrar.example."}
	unasked := zone{err: errors.New("no AWS credentials")}
	for want, z := range map[string]zone{
		"Route 53 also leads to eu-west-3 (set-eu-west-3), which is none of the regions":                        left,
		"DNS says that its name servers are ns.registrar.example, and the hosted zone's are ns-1.example.net, ": foreign,
		"its records and certificates are not checked: no AWS credentials":                                      unasked,
	} {
		if notes := z.tell(s); len(notes) != 1 || !strings.Contains(notes[0], want) {
			t.Errorf("it says %q, want %q", notes, want)
		}
	}
	elsewhere := shared(func(s *settings.Settings) { s.HostedZone = "" })
	if notes := (&zone{}).tell(elsewhere); len(notes) != 1 || !strings.Contains(notes[0], "the output DomainRecords") {
		t.Errorf("of a zone elsewhere it says %q", notes)
	}
	if notes := (&zone{}).tell(shared(func(s *settings.Settings) { s.Domain = "" })); notes != nil {
		t.Errorf("without a domain it says %q", notes)
	}
}

// noDNS is a resolver that finds nothing.
func noDNS(context.Context, string) ([]*net.NS, error) { return nil, errors.New("no such host") }

func TestWithoutADomainNobodyIsAskedAboutOne(t *testing.T) {
	s := settings.Default(topology.DefaultNames(), "eu-west-1")
	if z := askDomain(t.Context(), "", &s, func(context.Context, string) ([]*net.NS, error) {
		t.Error("DNS is asked")
		return nil, nil
	}); z.err != nil || z.id(&s) != "" || z.check(&s, nil) != nil {
		t.Errorf("%+v", z)
	}
}
