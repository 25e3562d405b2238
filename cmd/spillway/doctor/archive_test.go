package doctor

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/infra/topology"
)

const aStream = `{"DeliveryStreamDescription":{"DeliveryStreamStatus":"ACTIVE","Destinations":[{"ExtendedS3DestinationDescription":` +
	`{"BucketARN":"arn:aws:s3:::the-bucket","Prefix":"archive/!{timestamp:yyyy/MM/dd/HH}/","FileExtension":".ndjson.zst"}}]}}`

// diagnoseArchive lets doctor read an archive of a service that answers so, and returns its lines
// of it, OK or not.
func diagnoseArchive(t *testing.T, stream, code, bucket string, status int) []string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			if code != "" {
				w.Header().Set("X-Amzn-ErrorType", code)
				w.WriteHeader(http.StatusBadRequest)
			}
			_, _ = io.WriteString(w, stream)
			return
		}
		if r.URL.Path != "/the-bucket/" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, bucket)
	}))
	defer server.Close()
	f, s := healthy()
	for _, of := range f.functions {
		of.value.Environment.Variables[deployed.VarArchiveStream] = "spillway-archive"
	}
	r := &reader{config: aws.Config{Region: "eu-west-1", BaseEndpoint: aws.String(server.URL),
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}}
	s.archive = r.archive(t.Context(), f.environment()[deployed.VarArchiveStream])
	var lines []string
	for _, c := range diagnose(&f, &s).Checks {
		if strings.HasPrefix(c.Check, "stream") || strings.HasPrefix(c.Check, "bucket") {
			lines = append(lines, string(c.Result)+" "+c.Check+": "+c.Says+" "+c.Permission)
		}
	}
	return lines
}

func TestTheArchiveIsCheckedWhereDeliverHasOne(t *testing.T) {
	for name, c := range map[string]struct {
		stream, code, bucket string
		status               int
		want                 []string
	}{
		"all is well": {aStream, "", "<ListBucketResult/>", 200,
			[]string{"ok stream spillway-archive: active, writes to the-bucket", "ok bucket the-bucket: can be read"}},
		"no stream": {"{}", "ResourceNotFoundException", "", 200,
			[]string{"failed stream spillway-archive: it does not exist"}},
		"may not ask": {"{}", "AccessDeniedException", "", 200,
			[]string{"unknown stream spillway-archive: "}},
		"being made": {strings.Replace(aStream, "ACTIVE", "CREATING_FAILED", 1), "", "", 200,
			[]string{"failed stream spillway-archive: it is creating_failed", "ok bucket the-bucket"}},
		"elsewhere": {strings.Replace(aStream, "archive/!", "other/!", 1), "", "", 200,
			[]string{"failed stream spillway-archive: it writes objects like \"other/", "ok bucket the-bucket"}},
		"no bucket": {aStream, "", "<Error><Code>NoSuchBucket</Code></Error>", 404,
			[]string{"ok stream", "failed bucket the-bucket: it does not exist"}},
		"may not read": {aStream, "", "<Error><Code>AccessDenied</Code></Error>", 403,
			[]string{"ok stream", "unknown bucket the-bucket: S3 answered 403 AccessDenied s3:ListBucket"}},
	} {
		got := diagnoseArchive(t, c.stream, c.code, c.bucket, c.status)
		ok := len(got) == len(c.want)
		for i := range c.want {
			ok = ok && strings.HasPrefix(got[i], c.want[i])
		}
		if !ok {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestWithoutAnArchiveNothingIsSaidOfOne(t *testing.T) {
	f, s := healthy()
	s.archive = new(reader).archive(t.Context(), "")
	for _, c := range diagnose(&f, &s).Checks {
		if strings.Contains(c.Check, "archive") {
			t.Errorf("%+v", c)
		}
	}
}

func TestTheAlarmsOfTheArchiveAreCheckedWhereDeliverHasOne(t *testing.T) {
	f, s := healthy()
	for _, of := range f.functions {
		of.value.Environment.Variables[deployed.VarArchiveStream] = "spillway-archive"
	}
	found := notOK(diagnose(&f, &s))
	for _, name := range []string{"archive-late", "archive-undelivered", "archive-failing"} {
		if !strings.Contains(found, topology.DefaultNames().Alarm(name)) {
			t.Errorf("the alarm %s does not exist, and doctor says %q", name, found)
		}
	}
}
