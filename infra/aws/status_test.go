package main

import (
	"archive/zip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/functions"
	"github.com/spillwayhq/spillway/infra/settings"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/status"
)

const statusCertificate = "arn:aws:acm:us-east-1:123456789012:certificate/12345678-1234-1234-1234-123456789012"

// withStatusSite are settings with all that a status site may have.
func withStatusSite(s *settings.Settings) {
	s.StatusRegions = []string{"eu-central-1", "eu-west-3"}
	s.StatusDomain, s.StatusCertificate = "status.example.com", statusCertificate
	s.Emails = []string{"ops@example.com"}
}

// statusSites are the templates of a pipeline with a status site in two regions, by region. The
// pipeline has withKey's settings, which the site has nothing of.
func statusSites(t *testing.T) map[string]template {
	t.Helper()
	s := settings.Default(topology.DefaultNames(), "eu-west-1")
	withStatusSite(&s)
	withKey(&s)
	return once(t, &s)
}

// simpleStatusSite is the template of a site in one region without a domain, of a pipeline for
// publishers in three.
func simpleStatusSite(t *testing.T) template {
	t.Helper()
	return publishers(t)["us-east-1"]
}

func TestTheTemplateOfAStatusSiteIsTheGoldenOne(t *testing.T) {
	compareGolden(t, "status-template.json", statusSites(t)["eu-central-1"].masked())
}

func TestTheSitesFilesArePrivateEncryptedAndOutliveTheStack(t *testing.T) {
	for _, region := range []string{"eu-central-1", "eu-west-3"} {
		for id, bucket := range statusSites(t)[region].exactly(t, 1, "AWS::S3::Bucket") {
			name := text(bucket.at("BucketName"))
			if !strings.Contains(name, `"spillway-status-",{"Ref":"AWS::AccountId"},"-`+region+`"`) {
				t.Errorf("%s is called %s", id, name)
			}
			for _, block := range []string{"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls",
				"RestrictPublicBuckets"} {
				if bucket.at("PublicAccessBlockConfiguration", block) != true {
					t.Errorf("%s has %s %v", id, block, bucket.at("PublicAccessBlockConfiguration", block))
				}
			}
			if !strings.Contains(text(bucket.at("BucketEncryption")), "AES256") ||
				bucket.at("VersioningConfiguration", "Status") != "Enabled" ||
				bucket.DeletionPolicy != "RetainExceptOnCreate" {
				t.Errorf("%s is %+v", id, bucket)
			}
			if rules := text(bucket.at("LifecycleConfiguration")); !strings.Contains(rules, `{"NoncurrentDays":7}`) {
				t.Errorf("%s removes earlier versions by %s", id, rules)
			}
		}
	}
}

// What is beside the site, and what the other bucket has, CloudFront can't serve.
func TestOnlyCloudFrontReadsTheSiteAndNothingReadsWithoutTLS(t *testing.T) {
	for region, distribution := range map[string]string{"eu-central-1": `":distribution/",{"Ref":"Distribution`,
		"eu-west-3": `":distribution/*"`} {
		for id, policy := range statusSites(t)[region].exactly(t, 1, "AWS::S3::BucketPolicy") {
			all := statements(policy.at("PolicyDocument"))
			if len(all) != 2 {
				t.Fatalf("%s: %s has %d statements", region, id, len(all))
			}
			if text(all[0]["Effect"]) != `"Deny"` || text(all[0]["Action"]) != `"s3:*"` ||
				text(all[0]["Condition"]) != `{"Bool":{"aws:SecureTransport":"false"}}` {
				t.Errorf("%s denies %v", id, all[0])
			}
			if text(all[1]["Action"]) != `"s3:GetObject"` ||
				text(all[1]["Principal"]) != `{"Service":"cloudfront.amazonaws.com"}` ||
				!strings.Contains(text(all[1]["Resource"]), `"/site/*"`) ||
				!strings.Contains(text(all[1]["Condition"]), distribution) ||
				!strings.Contains(text(all[1]["Condition"]), `{"Ref":"AWS::AccountId"}`) {
				t.Errorf("%s allows %s", id, text(all[1]))
			}
		}
	}
}

// config is the configuration of the only distribution.
func config(t *testing.T, tmpl template) resource {
	t.Helper()
	for _, d := range tmpl.exactly(t, 1, "AWS::CloudFront::Distribution") {
		properties, _ := d.at("DistributionConfig").(map[string]any)
		return resource{Properties: properties}
	}
	t.FailNow()
	return resource{}
}

func TestTheDistributionServesTheSite(t *testing.T) {
	tmpl := statusSites(t)["eu-central-1"]
	d := config(t, tmpl)
	for path, want := range map[string]any{
		"DefaultRootObject": "index.html", "HttpVersion": "http2and3", "IPV6Enabled": true, "Enabled": true,
		"ViewerCertificate.MinimumProtocolVersion": "TLSv1.2_2021", "ViewerCertificate.SslSupportMethod": "sni-only",
		"ViewerCertificate.AcmCertificateArn":       statusCertificate,
		"DefaultCacheBehavior.ViewerProtocolPolicy": "redirect-to-https", "DefaultCacheBehavior.Compress": true,
		"PriceClass": "PriceClass_100",
	} {
		if got := d.at(strings.Split(path, ".")...); got != want {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
	if got := text(d.at("Aliases")); got != `["status.example.com"]` {
		t.Errorf("it serves %s", got)
	}
	for _, code := range []string{"403", "404"} {
		if !strings.Contains(text(d.at("CustomErrorResponses")),
			`"ErrorCode":`+code+`,"ResponseCode":404,"ResponsePagePath":"/404.html"`) {
			t.Errorf("for S3's %s it answers %s", code, text(d.at("CustomErrorResponses")))
		}
	}
	for _, policy := range tmpl.exactly(t, 1, "AWS::CloudFront::CachePolicy") {
		// Of CloudFront's answers those without Cache-Control live for the default time.
		for name, want := range map[string]float64{"MinTTL": 0, "DefaultTTL": 30, "MaxTTL": 86400} {
			if got := number(t, policy.at("CachePolicyConfig", name)); got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
	}
	if text(tmpl.Outputs[topology.OutputStatusURL].Value) != `"https://status.example.com"` ||
		!strings.Contains(text(tmpl.Outputs[topology.OutputStatusHost].Value), "DomainName") {
		t.Errorf("the outputs are %v", tmpl.Outputs)
	}
}

// served are the headers that CloudFront makes of a policy.
func served(t *testing.T, policy resource) []status.Header {
	t.Helper()
	config, _ := policy.at("ResponseHeadersPolicyConfig").(map[string]any)
	c := resource{Properties: config}
	var all []status.Header
	add := func(name string, path ...string) {
		value := c.at(path...)
		if value == nil || c.at(path[0], path[1], "Override") == false {
			t.Errorf("%s is %v", name, c.at(path[0]))
		}
		all = append(all, status.Header{Name: name, Value: strings.Trim(text(value), `"[]`)})
	}
	const security = "SecurityHeadersConfig"
	add("Content-Security-Policy", security, "ContentSecurityPolicy", "ContentSecurityPolicy")
	add("Strict-Transport-Security", security, "StrictTransportSecurity", "AccessControlMaxAgeSec")
	for _, more := range []string{"IncludeSubdomains", "Preload"} {
		if c.at(security, "StrictTransportSecurity", more) != false {
			t.Errorf("Strict-Transport-Security has %s", more)
		}
	}
	all[len(all)-1].Value = "max-age=" + all[len(all)-1].Value
	if c.at(security, "ContentTypeOptions", "Override") == true {
		all = append(all, status.Header{Name: "X-Content-Type-Options", Value: "nosniff"})
	}
	add("X-Frame-Options", security, "FrameOptions", "FrameOption")
	add("Referrer-Policy", security, "ReferrerPolicy", "ReferrerPolicy")
	add("Access-Control-Allow-Origin", "CorsConfig", "AccessControlAllowOrigins", "Items")
	custom, _ := c.at("CustomHeadersConfig", "Items").([]any)
	for _, item := range custom {
		h := resource{Properties: item.(map[string]any)}
		all = append(all, status.Header{Name: text(h.at("Header")), Value: text(h.at("Value"))})
	}
	return all
}

func TestEveryAnswerHasTheHeadersOfTheSite(t *testing.T) {
	for _, p := range statusSites(t)["eu-central-1"].exactly(t, 1, "AWS::CloudFront::ResponseHeadersPolicy") {
		if got, want := served(t, p), status.Headers(); !slices.Equal(got, want) {
			t.Errorf("CloudFront serves %q, want %q", got, want)
		}
	}
}

func TestTheSecondStatusRegionIsWhereCloudFrontFallsBackTo(t *testing.T) {
	d := config(t, statusSites(t)["eu-central-1"])
	origins, _ := d.at("Origins").([]any)
	groups, _ := d.at("OriginGroups", "Items").([]any)
	if len(origins) != 2 || len(groups) != 1 {
		t.Fatalf("origins %s, groups %s", text(origins), text(groups))
	}
	group := resource{Properties: groups[0].(map[string]any)}
	if group.at("Id") != d.at("DefaultCacheBehavior", "TargetOriginId") {
		t.Errorf("CloudFront reads from %v and not from the group", d.at("DefaultCacheBehavior", "TargetOriginId"))
	}
	members := group.at("Members", "Items").([]any)
	for i, bucket := range []string{`["Site`, `"-eu-west-3.s3.eu-west-3.amazonaws.com"`} {
		origin := resource{Properties: origins[i].(map[string]any)}
		if !strings.Contains(text(members[i]), text(origin.at("Id"))) || !strings.Contains(text(origin.at("DomainName")), bucket) ||
			origin.at("OriginPath") != "/site" || origin.at("OriginAccessControlId") == nil {
			t.Errorf("origin %d is %s", i, text(origin.Properties))
		}
	}
	for _, code := range []float64{403, 404, 500, 502, 503, 504} {
		if codes, _ := group.at("FailoverCriteria", "StatusCodes", "Items").([]any); !slices.Contains(codes, any(code)) {
			t.Errorf("it does not fall back for %v", code)
		}
	}
	for _, kind := range []string{"Distribution", "CachePolicy", "ResponseHeadersPolicy", "OriginAccessControl"} {
		statusSites(t)["eu-west-3"].exactly(t, 0, "AWS::CloudFront::"+kind)
	}

	simple := config(t, simpleStatusSite(t))
	if origins, _ := simple.at("Origins").([]any); len(origins) != 1 || simple.at("OriginGroups") != nil {
		t.Errorf("a site in one region has the origins %s and the groups %s", text(origins), text(simple.at("OriginGroups")))
	}
}

// may is what a role's policies allow, as "action resource", without what it may do with its own
// log.
func may(t *testing.T, tmpl template) (allowed []string) {
	t.Helper()
	for _, policy := range tmpl.exactly(t, 1, "AWS::IAM::Policy") {
		for _, s := range statements(policy.at("PolicyDocument")) {
			resources, ok := s["Resource"].([]any)
			if !ok {
				resources = []any{s["Resource"]}
			}
			for _, action := range texts(s["Action"]) {
				for _, r := range resources {
					flat := strings.NewReplacer(`{"Ref":"AWS::Partition"}`, "aws", `{"Ref":"AWS::AccountId"}`, "ACCOUNT",
						`{"Fn::Join":["",[`, "", `]]}`, "", `"`, "", ",", "").Replace(text(r))
					if !strings.HasPrefix(action, "logs:") {
						allowed = append(allowed, action+" "+flat)
					}
				}
			}
		}
	}
	slices.Sort(allowed)
	return allowed
}

func TestTheStatusFunctionMayOnlyReadWhatItShowsAndWriteTheSite(t *testing.T) {
	buckets := func(of ...string) (all []string) {
		for _, region := range of {
			bucket := "arn:aws:s3:::spillway-status-ACCOUNT-" + region
			all = append(all, "s3:ListBucket "+bucket)
			for _, folder := range []string{"/site/*", "/state/*"} {
				all = append(all, "s3:GetObject "+bucket+folder, "s3:PutObject "+bucket+folder)
			}
		}
		return all
	}
	watching := []string{"cloudwatch:DescribeAlarms *", "cloudwatch:GetMetricStatistics *"}
	for name, c := range map[string]struct {
		tmpl template
		want [][]string
	}{
		"two status regions": {statusSites(t)["eu-central-1"], [][]string{watching, buckets("eu-central-1", "eu-west-3"), {
			"sqs:GetQueueAttributes arn:aws:sqs:eu-west-1:ACCOUNT:spillway-events",
			"ssm:GetParameter arn:aws:ssm:eu-west-1:ACCOUNT:parameter/spillway/ingest-url",
		}}},
		"no ingest": {simpleStatusSite(t), [][]string{watching, buckets("us-east-1"), {
			"sqs:GetQueueAttributes arn:aws:sqs:eu-west-1:ACCOUNT:spillway-events",
			"sqs:GetQueueAttributes arn:aws:sqs:eu-west-3:ACCOUNT:spillway-events",
			"sqs:GetQueueAttributes arn:aws:sqs:us-west-2:ACCOUNT:spillway-events",
		}}},
	} {
		want := slices.Concat(c.want...)
		slices.Sort(want)
		if got := may(t, c.tmpl); !slices.Equal(got, want) {
			t.Errorf("%s: the function may\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if !strings.Contains(text(c.tmpl.of("AWS::IAM::Policy")), `{"StringEquals":{"aws:RequestedRegion":["eu-west-1"`) {
			t.Errorf("%s: the function may read CloudWatch of other regions", name)
		}
	}
}

func TestTheStatusFunctionRunsEveryMinuteAndIsNotRetried(t *testing.T) {
	tmpl := statusSites(t)["eu-west-3"]
	site := topology.NewStatusSite(topology.DefaultOptions())
	fn := tmpl.named(t, "AWS::Lambda::Function", "FunctionName", site.Names.StatusFunction)
	if number(t, fn.at("Timeout")) != site.Functions[0].Timeout.Seconds() || text(fn.at("Architectures")) != `["arm64"]` {
		t.Errorf("the function is %s", text(fn.Properties))
	}
	for _, rule := range tmpl.exactly(t, 1, "AWS::Events::Rule") {
		if rule.at("ScheduleExpression") != "rate(1 minute)" ||
			!strings.Contains(text(rule.at("Targets")), `"MaximumRetryAttempts":0`) {
			t.Errorf("the schedule is %s", text(rule.Properties))
		}
	}
	for _, c := range tmpl.exactly(t, 1, "AWS::Lambda::EventInvokeConfig") {
		if number(t, c.at("MaximumRetryAttempts")) != 0 {
			t.Errorf("Lambda retries %s", text(c.Properties))
		}
	}
	variables, _ := fn.at("Environment", "Variables").(map[string]any)
	for name, want := range map[string]string{
		"SPILLWAY_STATUS_REGIONS":              `"eu-west-1"`,
		"SPILLWAY_STATUS_QUEUES":               `https://sqs.eu-west-1.`,
		"SPILLWAY_STATUS_BUCKETS":              `"eu-west-3=spillway-status-"`,
		"SPILLWAY_STATUS_INGEST_URL_PARAMETER": `"/spillway/ingest-url"`,
		"SPILLWAY_STATUS_SITE":                 `"status-site.json"`,
		"SPILLWAY_NAME":                        `"spillway"`,
	} {
		if got := text(variables[name]); !strings.Contains(got, want) {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	simple, _ := simpleStatusSite(t).named(t, "AWS::Lambda::Function", "FunctionName", site.Names.StatusFunction).at(
		"Environment", "Variables").(map[string]any)
	for _, name := range []string{"SPILLWAY_STATUS_INGEST_URL_PARAMETER", "SPILLWAY_STATUS_SITE"} {
		if simple[name] != nil {
			t.Errorf("without an ingest endpoint, a domain and a file %s is %v", name, simple[name])
		}
	}
}

func TestTheAlarmOfAStatusSiteNotifiesInItsOwnRegion(t *testing.T) {
	for _, region := range []string{"eu-central-1", "eu-west-3"} {
		tmpl := statusSites(t)[region]
		alarm := tmpl.named(t, "AWS::CloudWatch::Alarm", "AlarmName", "spillway-status-stale")
		for id, topic := range tmpl.exactly(t, 1, "AWS::SNS::Topic") {
			if text(alarm.at("AlarmActions")) != `[{"Ref":"`+id+`"}]` || topic.at("TopicName") != "spillway-tickets" {
				t.Errorf("%s: the alarm notifies %s", region, text(alarm.at("AlarmActions")))
			}
		}
		for _, s := range tmpl.exactly(t, 1, "AWS::SNS::Subscription") {
			if s.at("Endpoint") != "ops@example.com" {
				t.Errorf("%s: %s is told", region, s.at("Endpoint"))
			}
		}
	}
}

// A stack that refers to another can't be deployed, or goes, without it.
func TestTheStacksOfAStatusSiteReferToNoOtherStack(t *testing.T) {
	for region, tmpl := range statusSites(t) {
		if content := string(tmpl.content); strings.Contains(content, "ImportValue") || strings.Contains(content, `"Export"`) {
			t.Errorf("the stack of %s imports or exports a value", region)
		}
		for id, r := range tmpl.Resources {
			if region == "eu-west-1" {
				continue
			}
			isFunction := r.Type == "AWS::Lambda::Function" || r.Type == "AWS::IAM::Policy"
			if !isFunction && strings.Contains(text(r), "eu-west-1") {
				t.Errorf("%s of %s refers to the pipeline's region: %s", id, region, text(r))
			}
		}
	}
}

func TestThePipelineTellsWhereItsIngestEndpointAndItsStatusSiteAre(t *testing.T) {
	tmpl := statusSites(t)["eu-west-1"]
	for name, value := range map[string]string{"/spillway/ingest-url": "IngestApi",
		"/spillway/status-regions": `"eu-central-1,eu-west-3"`} {
		p := tmpl.named(t, "AWS::SSM::Parameter", "Name", name)
		if p.at("Type") != "String" || !strings.Contains(text(p.at("Value")), value) {
			t.Errorf("the parameter is %s", text(p.Properties))
		}
	}
	tmpl.exactly(t, 2, "AWS::SSM::Parameter")
	without := defaults(t)
	without.exactly(t, 0, "AWS::SSM::Parameter")
}

func TestTheSitesFileGoesIntoTheFunctionsArchive(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "site.json")
	if err := os.WriteFile(file, []byte(`{"title": "Shop events", "logo": "logo.svg"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "logo.svg"), []byte("<svg/>"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := read(t, `{"statusRegion": "eu-central-1", "statusSite": "`+file+`", "statusDomain": "status.example.com", `+
		`"statusCertificate": "`+statusCertificate+`"}`)
	if err != nil {
		t.Fatal(err)
	}
	all, beside := functionsOf(&s)
	last := all[len(all)-1]
	if last.Name != "spillway-status" || len(beside) != 1 {
		t.Fatalf("the functions are %v, with %v beside them", all, beside)
	}
	archive := filepath.Join(folder, "a.zip")
	if err := functions.Pack(archive, append([]functions.File{{Name: functions.Bootstrap, Content: []byte("binary")}}, beside[last.Name]...)...); err != nil {
		t.Fatal(err)
	}
	z, err := zip.OpenReader(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	f, err := z.Open(topology.StatusFile)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(f)
	site, invalid := status.ParseSite(content)
	if errors.Join(err, invalid) != nil || site.Title != "Shop events" || site.URL != "https://status.example.com" ||
		!strings.HasPrefix(site.Logo, "data:image/svg+xml;base64,") {
		t.Errorf("the function reads %+v, %v, %v", site, err, invalid)
	}
}

func TestAWrongSettingOfTheStatusSiteHasALineThatSaysWhatItMustBe(t *testing.T) {
	folder := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	elsewhere := strings.Replace(statusCertificate, "us-east-1", "eu-central-1", 1)
	for _, c := range []struct{ context, want string }{
		{`{"statusRegion": ""}`, `statusRegion must be one or two AWS regions, none of them the pipeline's`},
		{`{"statusRegion": "eu-west-1"}`, `statusRegion must be none of the pipeline's regions, because the status site must ` +
			`stand when they do not, has "eu-west-1"`},
		{`{"statusRegion": "mars-north-1"}`, `statusRegion: unknown region "mars-north-1"`},
		{`{"statusRegion": "eu-central-1,us-east-1,eu-west-3"}`, `statusRegion must be at most 2 regions, are 3`},
		{`{"statusRegion": "us-east-1,us-east-1"}`, `statusRegion must name each region once, has "us-east-1" twice`},
		{`{"statusRegion": "cn-northwest-1", "regions": "cn-north-1"}`, `statusRegion must be of the partition aws`},
		{`{"statusRegion": "us-east-1", "regions": "cn-north-1"}`, `statusRegion must be of the pipeline's partition`},
		{`{"statusDomain": "status.example.com"}`, `statusDomain needs statusRegion, without which there is no status site`},
		{`{"statusRegion": "us-east-1", "statusDomain": "status.example.com"}`,
			`statusDomain and statusCertificate belong together`},
		{`{"statusRegion": "us-east-1", "statusCertificate": "` + statusCertificate + `"}`,
			`statusDomain and statusCertificate belong together`},
		{`{"statusRegion": "us-east-1", "statusCertificate": "` + elsewhere + `"}`,
			`CloudFront reads certificates of us-east-1 only, and this one is in eu-central-1`},
		{`{"statusCertificate": "mine"}`, `statusCertificate must be the ARN of a certificate in us-east-1`},
		{`{"statusDomain": "https://status.example.com"}`,
			`statusDomain must be the status site's host name, like status.example.com`},
		{`{"statusDomain": "localhost"}`, `statusDomain must be the status site's host name, like status.example.com`},
		{`{"statusSite": "` + filepath.Join(folder, "none.json") + `"}`, `no such file`},
		{`{"statusSite": "` + file("empty.json", "") + `"}`, `statusSite: `},
		{`{"statusSite": "` + file("typo.json", `{"titel": "x"}`) + `"}`, `unknown field "titel"`},
		{`{"statusRegion": "us-east-1", "statusSite": "` + file("url.json", `{"url": "https://other.example.com"}`) +
			`", "statusDomain": "status.example.com", "statusCertificate": "` + statusCertificate + `"}`,
			`statusSite: url must be https://status.example.com as statusDomain says, or missing, is "https://other.example.com"`},
		{`{"statusRegion": "us-east-1", "name": "xn--shop"}`, `S3 refuses buckets whose name begins with xn--`},
	} {
		_, err := read(t, c.context)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want a line with %q", c.context, err, c.want)
		}
	}
	for _, context := range []string{`{"statusRegion": "none"}`, `{"statusRegion": "us-east-1"}`,
		`{"statusRegion": ["us-east-1", "eu-central-1"], "statusSite": "none", "statusDomain": "none"}`} {
		if _, err := read(t, context); err != nil {
			t.Errorf("%s: %v", context, err)
		}
	}
}

func TestStatusSitesOfTwoPipelinesShareNoName(t *testing.T) {
	theirs := physicalNames(once(t, staging(t, adoptedAndProtected))["eu-central-1"])
	compared := 0
	for kind, ours := range physicalNames(statusSites(t)["eu-central-1"]) {
		for _, name := range ours {
			compared++
			if slices.Contains(theirs[kind], name) {
				t.Errorf("%s: both pipelines have %s", kind, name)
			}
		}
	}
	if compared < 6 {
		t.Errorf("only %d names were compared", compared)
	}
}
