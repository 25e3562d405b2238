package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/settings"
	"github.com/spillwayhq/spillway/infra/topology"
	format "github.com/spillwayhq/spillway/shared/archive"
)

func withArchive(s *settings.Settings) { s.Archive, s.ArchiveDays, s.ArchiveTable = true, 30, true }

// withKey are settings with an archive without a table and with a KMS key.
func withKey(s *settings.Settings) {
	s.Archive, s.KMSKeys = true, []string{"arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"}
}

func TestWithoutTheSettingThereIsNoArchive(t *testing.T) {
	tmpl := defaults(t)
	for _, kind := range []string{"AWS::S3::Bucket", "AWS::KinesisFirehose::DeliveryStream", "AWS::Glue::Table"} {
		if n := len(tmpl.of(kind)); n != 0 {
			t.Errorf("%d of %s", n, kind)
		}
	}
	for _, of := range []string{"spillway-archive", "SPILLWAY_ARCHIVE", "EventsArchived", "EventsNotArchived"} {
		if strings.Contains(text(tmpl.Resources), of) {
			t.Errorf("the template mentions %s", of)
		}
	}
}

func TestTheBucketOfTheArchiveIsPrivateEncryptedAndForgets(t *testing.T) {
	tmpl := archived(t)
	for id, b := range tmpl.exactly(t, 1, "AWS::S3::Bucket") {
		const want = `[{"AbortIncompleteMultipartUpload":{"DaysAfterInitiation":1},"ExpirationInDays":30,"Id":"archive-days",` +
			`"Status":"Enabled","Transitions":[{"StorageClass":"INTELLIGENT_TIERING","TransitionInDays":0}]}]`
		if got := text(b.at("LifecycleConfiguration", "Rules")); got != want {
			t.Errorf("the bucket's rules are %s, want %s", got, want)
		}
		if got := text(b.at("PublicAccessBlockConfiguration")); strings.Count(got, "true") != 4 {
			t.Errorf("public access is blocked by %s", got)
		}
		if !strings.Contains(text(b.at("BucketEncryption")), `"AES256"`) || b.at("VersioningConfiguration") != nil ||
			b.at("BucketName") != nil || b.DeletionPolicy != "RetainExceptOnCreate" {
			t.Errorf("%v, deletion policy %s", b.Properties, b.DeletionPolicy)
		}
		for _, policy := range tmpl.exactly(t, 1, "AWS::S3::BucketPolicy") {
			s := statements(policy.at("PolicyDocument"))
			if len(s) != 1 || s[0]["Effect"] != "Deny" || policy.DeletionPolicy != "Retain" ||
				text(s[0]["Condition"]) != `{"Bool":{"aws:SecureTransport":"false"}}` || !strings.Contains(text(s[0]), id) {
				t.Errorf("the bucket's policy is %v, deletion policy %s", s, policy.DeletionPolicy)
			}
		}
	}
}

func TestTheStreamWritesObjectsAsReadersExpectThem(t *testing.T) {
	tmpl := archived(t)
	for _, r := range tmpl.exactly(t, 1, "AWS::KinesisFirehose::DeliveryStream") {
		to := func(keys ...string) string {
			return text(r.at(append([]string{"ExtendedS3DestinationConfiguration"}, keys...)...))
		}
		if r.at("DeliveryStreamName") != "spillway-archive" || r.at("DeliveryStreamType") != "DirectPut" ||
			r.at("DeliveryStreamEncryptionConfigurationInput", "KeyType") != "AWS_OWNED_CMK" {
			t.Errorf("%v", r.Properties)
		}
		for key, want := range map[string]string{"CompressionFormat": `"UNCOMPRESSED"`, "FileExtension": `".ndjson.zst"`,
			"Prefix":            `"archive/!{timestamp:yyyy/MM/dd/HH}/"`,
			"ErrorOutputPrefix": `"failed/!{firehose:error-output-type}/!{timestamp:yyyy/MM/dd/HH}/"`,
			"BufferingHints":    `{"IntervalInSeconds":900,"SizeInMBs":64}`} {
			if got := to(key); got != want {
				t.Errorf("%s is %s, want %s", key, got, want)
			}
		}
		if to("CloudWatchLoggingOptions", "Enabled") != "true" {
			t.Error("the errors of Firehose are not logged")
		}
		if !slices.ContainsFunc(texts(r.DependsOn),
			func(id string) bool { return strings.HasPrefix(id, "ArchiveRoleDefaultPolicy") }) {
			t.Errorf("the stream depends on %v, and may begin before its role has a policy", r.DependsOn)
		}
	}
	// What Firehose makes of the prefix is what a reader looks for.
	name := strings.ReplaceAll("archive/!{timestamp:yyyy/MM/dd/HH}/", "!{timestamp:yyyy/MM/dd/HH}", "2026/11/27/14") +
		"spillway-archive-1-2026-11-27-14-05-10-5b2f3c1a-0000" + format.Extension
	if hour, ok := format.ParseName(name); !ok || hour != time.Date(2026, 11, 27, 14, 0, 0, 0, time.UTC) {
		t.Errorf("%s is of %v, %v", name, hour, ok)
	}
}

func TestOnlyDeliverPutsRecordsAndOnlyFirehoseWritesObjects(t *testing.T) {
	tmpl := archived(t)
	variable := tmpl.named(t, "AWS::Lambda::Function", "FunctionName",
		topology.DefaultNames().DeliverFunction).at("Environment", "Variables", "SPILLWAY_ARCHIVE_STREAM")
	if !strings.Contains(text(variable), "ArchiveStream") {
		t.Errorf("deliver is told the stream %s", text(variable))
	}
	may := map[string]string{}
	for id, policy := range tmpl.of("AWS::IAM::Policy") {
		for _, s := range statements(policy.at("PolicyDocument")) {
			for _, action := range texts(s["Action"]) {
				if service, _, _ := strings.Cut(action, ":"); service != "s3" && service != "firehose" {
					continue
				}
				may[action] += id[:strings.Index(id, "Role")] + " "
				if action == "firehose:PutRecordBatch" && text(s["Resource"]) != `{"Fn::GetAtt":["ArchiveStream","Arn"]}` {
					t.Errorf("deliver may put records into %s", text(s["Resource"]))
				}
				if action == "s3:PutObject" && (strings.Count(text(s["Resource"]), `"Fn::GetAtt":["Archive`) != 2 ||
					!strings.Contains(text(s["Resource"]), `"/archive/*"`) || !strings.Contains(text(s["Resource"]), `"/failed/*"`)) {
					t.Errorf("Firehose may write %s", text(s["Resource"]))
				}
			}
		}
	}
	want := map[string]string{"firehose:PutRecordBatch": "Deliver "}
	for _, action := range []string{"s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload", "s3:GetBucketLocation",
		"s3:ListBucket", "s3:ListBucketMultipartUploads"} {
		want[action] = "Archive "
	}
	if !maps.Equal(may, want) {
		t.Errorf("permissions are %v, want %v", may, want)
	}
	role := tmpl.named(t, "AWS::IAM::Role", "Description", "role of Firehose for spillway-archive")
	if s := text(role.at("AssumeRolePolicyDocument")); !strings.Contains(s, "firehose.amazonaws.com") ||
		!strings.Contains(s, "aws:SourceAccount") {
		t.Errorf("the role may be assumed by %s", s)
	}
}

func TestTheArchiveIsEncryptedWithTheKMSKeyOfTheSettings(t *testing.T) {
	const key = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	tmpl := statusSites(t)["eu-west-1"]
	for _, b := range tmpl.exactly(t, 1, "AWS::S3::Bucket") {
		if got := text(b.at("BucketEncryption")); !strings.Contains(got, key) ||
			!strings.Contains(got, `"BucketKeyEnabled":true`) {
			t.Errorf("the bucket is encrypted with %s", got)
		}
	}
	for _, r := range tmpl.exactly(t, 1, "AWS::KinesisFirehose::DeliveryStream") {
		if r.at("DeliveryStreamEncryptionConfigurationInput", "KeyARN") != key {
			t.Errorf("the stream is encrypted with %v", r.at("DeliveryStreamEncryptionConfigurationInput"))
		}
	}
	for id, policy := range tmpl.of("AWS::IAM::Policy") {
		if strings.HasPrefix(id, "Archive") &&
			!strings.Contains(text(policy), `["kms:GenerateDataKey","kms:Decrypt"],"Effect":"Allow","Resource":"`+key) {
			t.Errorf("Firehose may not use the key: %s", text(policy))
		}
	}
}

func TestTheTableHasTheColumnsOfARecordAndTheHoursAsPartitions(t *testing.T) {
	tmpl := archived(t)
	record := format.Record{Time: time.Now(), Outcome: "o", Reason: "r", Detail: "d", WriteKey: "k", Replay: "p",
		ReceivedAt: time.Now(), Receives: 2, Context: []byte("{}"), Integrations: []byte("{}"), Event: []byte("{}")}
	other, part := record, record
	other.Event, part.Parts, part.Part, part.Whole = []byte("{"), 2, 1, "w"
	want := map[string]bool{}
	for _, r := range []*format.Record{&record, &other, &part} {
		var keys map[string]any
		if err := json.Unmarshal(format.AppendRecord(nil, r), &keys); err != nil {
			t.Fatal(err)
		}
		for key := range keys {
			want[key] = true
		}
	}
	for _, r := range tmpl.exactly(t, 1, "AWS::Glue::Table") {
		got := map[string]bool{}
		columns, _ := r.at("TableInput", "StorageDescriptor", "Columns").([]any)
		for _, c := range columns {
			got[c.(map[string]any)["Name"].(string)] = true
		}
		if !maps.Equal(got, want) {
			t.Errorf("the columns are %v, a record has %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
		parameters, _ := r.at("TableInput", "Parameters").(map[string]any)
		if parameters["projection.hour.range"] != "NOW-32DAYS,NOW" ||
			parameters["projection.hour.format"] != "yyyy/MM/dd/HH" ||
			!strings.HasSuffix(text(parameters["storage.location.template"]), `"/archive/${hour}/"]]}`) {
			t.Errorf("%s", text(parameters))
		}
	}
	if tmpl.Outputs[topology.OutputArchiveTable].Value != "spillway.archive" ||
		!strings.Contains(text(tmpl.Outputs[topology.OutputArchiveBucket].Value), `{"Ref":"Archive`) {
		t.Errorf("outputs %v", tmpl.Outputs)
	}
	if n := len(statusSites(t)["eu-west-1"].of("AWS::Glue::Table")); n != 0 {
		t.Errorf("%d tables without the setting", n)
	}
}

func TestTheAlarmsOfTheArchiveWatchTheStream(t *testing.T) {
	tmpl := archived(t)
	for name, metric := range map[string]string{"spillway-archive-late": "DeliveryToS3.DataFreshness",
		"spillway-archive-undelivered": "DeliveryToS3.Success"} {
		a := text(tmpl.named(t, "AWS::CloudWatch::Alarm", "AlarmName", name).at("Metrics"))
		if !strings.Contains(a, metric) || !strings.Contains(a, `"AWS/Firehose"`) ||
			!strings.Contains(a, `{"Name":"DeliveryStreamName","Value":"spillway-archive"}`) {
			t.Errorf("%s watches %s", name, a)
		}
	}
}

func TestWithAnArchiveIngestMaySendToTheBulkQueue(t *testing.T) {
	ingest := func(tmpl template) (function resource, may string) {
		for id, policy := range tmpl.of("AWS::IAM::Policy") {
			if !strings.HasPrefix(id, "IngestRole") {
				continue
			}
			for _, s := range statements(policy.at("PolicyDocument")) {
				if text(s["Action"]) == `"sqs:SendMessage"` {
					may += text(s["Resource"])
				}
			}
		}
		return tmpl.named(t, "AWS::Lambda::Function", "FunctionName", topology.DefaultNames().IngestFunction), may
	}
	const bulk = `{"Fn::GetAtt":["Bulk`
	function, may := ingest(archived(t))
	url := text(function.at("Environment", "Variables", "SPILLWAY_ARCHIVE_QUEUE_URL"))
	if strings.Count(may, bulk) != 1 || !strings.Contains(url, "Bulk") {
		t.Errorf("it may send to %s, and is told %s", may, url)
	}
	without := defaults(t)
	if function, may := ingest(without); strings.Contains(may, bulk) ||
		function.at("Environment", "Variables", "SPILLWAY_ARCHIVE_QUEUE_URL") != nil {
		t.Errorf("without an archive it may send to %s", may)
	}
}
