package deploying

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/shared/s3"
	"github.com/spillwayhq/spillway/shared/signed"
)

const (
	// ownTag is the tag of a bucket that this program made, and made completely: it is set last.
	ownTag, ownTagValue = "spillway:purpose", "deploy"
	// uploadTimeout bounds an attempt to send an object, and perMB is added for each MB: 50 KB/s is a
	// slow line.
	uploadTimeout = 30 * time.Second
	perMB         = 20 * time.Second
)

// s3Names is the namespace of what S3 reads.
const s3Names = ` xmlns="http://s3.amazonaws.com/doc/2006-03-01/"`

// A bucket is where CloudFormation reads the template, and Lambda the functions' code.
type bucket struct {
	name      string
	account   string // that must own it
	partition string // of the region, like aws
	region    string
	given     bool // the user named it, so it need not be one that this program made
	client    *signed.Client
}

// bucketName is the name of the bucket of an account and region, unless the user gives one.
func bucketName(account, region string) string { return "spillway-deploy-" + account + "-" + region }

func openBucket(c aws.Config, name, account, partition string) *bucket {
	given := name != ""
	name = cmp.Or(name, bucketName(account, c.Region))
	return &bucket{name, account, partition, c.Region, given, signed.S3(c, name)}
}

// do sends a request, and again if it fails for a reason that may pass. S3 refuses it if another
// account has the bucket, so that nothing is ever sent to a bucket of somebody else.
func (b *bucket) do(ctx context.Context, r signed.Request) (a signed.Answer, err error) {
	if r.Header == nil {
		r.Header = http.Header{}
	}
	if r.Method != http.MethodPut || r.Path != "/" || len(r.Query) > 0 { // it can't be said of one that is made
		r.Header.Set("X-Amz-Expected-Bucket-Owner", b.account)
	}
	if r.Method == http.MethodPut {
		sum := sha256.Sum256(r.Body)
		r.Header.Set("X-Amz-Sdk-Checksum-Algorithm", "SHA256")
		r.Header.Set("X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(sum[:]))
	}
	for attempt := range attempts {
		if attempt > 0 && !signed.Pause(ctx, backoff, attempt) {
			return a, context.Cause(ctx)
		}
		limited, cancel := context.WithTimeout(ctx, uploadTimeout+perMB*time.Duration(len(r.Body)>>20))
		a, err = b.client.Do(limited, r)
		cancel()
		if ctx.Err() != nil {
			return a, context.Cause(ctx)
		}
		if err == nil && !s3.MayPass(a.Status) {
			return a, nil
		}
		if err != nil && strings.Contains(err.Error(), "get credentials") {
			return a, err
		}
	}
	return a, err
}

// bucketError is what an answer of S3 means, nil if it is one of success. permission is what the
// request needs, like s3:PutObject.
func bucketError(a signed.Answer, err error, doing, permission string) error {
	if err == nil {
		refusal := s3.Refusal(a)
		if refusal == nil {
			return nil
		}
		code := refusal.Code
		if code == "" && a.Status == http.StatusForbidden { // that to HEAD has no text
			code = "AccessDenied"
		}
		err = &smithy.GenericAPIError{Code: cmp.Or(code, fmt.Sprint("HTTP ", a.Status)),
			Message: cmp.Or(refusal.Message, http.StatusText(a.Status))}
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return deployed.Explain(err, doing, permission)
}

// other says how to use another bucket.
const other = "; give --bucket a name that is free, or that of a bucket of your own"

// prepare makes sure that the bucket exists, is the account's, and is one that may be used. made: it
// did not exist.
func (b *bucket) prepare(ctx context.Context) (made bool, err error) {
	a, err := b.do(ctx, signed.Request{Method: http.MethodHead, Path: "/"})
	switch {
	case err != nil:
		return false, bucketError(a, err, "look for the bucket "+b.name, "s3:ListBucket")
	case a.Status == http.StatusNotFound:
		return b.make(ctx)
	case a.Status == http.StatusMovedPermanently, a.Status == http.StatusTemporaryRedirect:
		return false, fmt.Errorf("the bucket %s is in %s, and Lambda reads code only from a bucket in %s%s", b.name,
			cmp.Or(a.Header.Get("X-Amz-Bucket-Region"), "another region"), b.region, other)
	case a.Status == http.StatusForbidden:
		return false, fmt.Errorf("the bucket %s can't be used: it belongs to another account than %s, or your role "+
			"lacks s3:ListBucket of it%s", b.name, b.account, other)
	case a.Status/100 != 2:
		return false, bucketError(a, nil, "look for the bucket "+b.name, "s3:ListBucket")
	}
	if in := a.Header.Get("X-Amz-Bucket-Region"); in != "" && in != b.region {
		return false, fmt.Errorf("the bucket %s is in %s, and Lambda reads code only from a bucket in %s%s", b.name, in,
			b.region, other)
	}
	if b.given {
		return false, nil
	}
	own, err := b.own(ctx)
	if err != nil || own {
		return false, err
	}
	empty, err := b.empty(ctx)
	if err != nil {
		return false, err
	}
	if empty { // it was perhaps made by a run that was killed before it had set the tag
		return true, b.configure(ctx)
	}
	// Another run that has made it meanwhile has set the tag before its first object.
	if own, err = b.own(ctx); err != nil || own {
		return false, err
	}
	return false, fmt.Errorf("the bucket %s exists, but not as one that spillway deploy made: it lacks the tag %s=%s%s",
		b.name, ownTag, ownTagValue, other)
}

// make makes the bucket.
func (b *bucket) make(ctx context.Context) (bool, error) {
	var body []byte
	if b.region != "us-east-1" { // which S3 takes only as none
		body = fmt.Appendf(nil, `<CreateBucketConfiguration`+s3Names+`>`+
			`<LocationConstraint>%s</LocationConstraint></CreateBucketConfiguration>`, b.region)
	}
	a, err := b.do(ctx, signed.Request{Method: http.MethodPut, Path: "/", Body: body})
	refusal := s3.Refusal(a)
	switch {
	case err == nil && refusal != nil && refusal.Code == "BucketAlreadyOwnedByYou":
		// another run makes it at this moment, or an attempt of this one whose answer was lost
	case err == nil && refusal != nil && refusal.Code == "BucketAlreadyExists":
		return false, fmt.Errorf("the bucket %s can't be made: somebody else has one of this name%s", b.name, other)
	case err == nil && refusal != nil && refusal.Code == "OperationAborted":
		return false, fmt.Errorf("the bucket %s is being made or deleted by somebody else at this moment: try again "+
			"in a minute", b.name)
	case err != nil || refusal != nil:
		return false, bucketError(a, err, "make the bucket "+b.name, "s3:CreateBucket")
	}
	return true, b.configure(ctx)
}

// configure makes the bucket private: nobody else reads it, and nobody without TLS. It may be done
// twice.
func (b *bucket) configure(ctx context.Context) error {
	for _, part := range []struct{ query, permission, body string }{
		{"publicAccessBlock", "s3:PutBucketPublicAccessBlock", `<PublicAccessBlockConfiguration` + s3Names + `>` +
			`<BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls>` +
			`<BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets>` +
			`</PublicAccessBlockConfiguration>`},
		{"encryption", "s3:PutEncryptionConfiguration", `<ServerSideEncryptionConfiguration` + s3Names + `>` +
			`<Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm>` +
			`</ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>`},
		{"policy", "s3:PutBucketPolicy", b.policy()},
		{"tagging", "s3:PutBucketTagging", `<Tagging` + s3Names + `><TagSet><Tag><Key>` + ownTag +
			`</Key><Value>` + ownTagValue + `</Value></Tag></TagSet></Tagging>`},
	} {
		a, err := b.do(ctx, signed.Request{Method: http.MethodPut, Path: "/", Query: url.Values{part.query: {""}},
			Body: []byte(part.body)})
		if err := bucketError(a, err, "set the "+part.query+" of the bucket "+b.name, part.permission); err != nil {
			return err
		}
	}
	return nil
}

// policy denies every action without TLS. The account's own roles say which are allowed.
func (b *bucket) policy() string {
	arn := "arn:" + b.partition + ":s3:::" + b.name
	return `{"Version":"2012-10-17","Statement":[{"Sid":"TLSOnly","Effect":"Deny","Principal":"*","Action":"s3:*",` +
		`"Resource":["` + arn + `","` + arn + `/*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`
}

// own reports whether the bucket has the tag.
func (b *bucket) own(ctx context.Context) (bool, error) {
	a, err := b.do(ctx, signed.Request{Method: http.MethodGet, Path: "/", Query: url.Values{"tagging": {""}}})
	if refusal := s3.Refusal(a); err == nil && refusal != nil && refusal.Code == "NoSuchTagSet" {
		return false, nil
	}
	if err := bucketError(a, err, "read the tags of the bucket "+b.name, "s3:GetBucketTagging"); err != nil {
		return false, err
	}
	var tags struct {
		Tag []pair `xml:"TagSet>Tag"`
	}
	if err := xml.Unmarshal(a.Body, &tags); err != nil {
		return false, fmt.Errorf("read the tags of the bucket %s: %w", b.name, err)
	}
	return slices.Contains(tags.Tag, pair{ownTag, ownTagValue}), nil
}

func (b *bucket) empty(ctx context.Context) (bool, error) {
	a, err := b.do(ctx, signed.Request{Method: http.MethodGet, Path: "/",
		Query: url.Values{"list-type": {"2"}, "max-keys": {"1"}}})
	if err := bucketError(a, err, "list the bucket "+b.name, "s3:ListBucket"); err != nil {
		return false, err
	}
	var list struct{ Contents []struct{ Key string } }
	if err := xml.Unmarshal(a.Body, &list); err != nil {
		return false, fmt.Errorf("list the bucket %s: %w", b.name, err)
	}
	return len(list.Contents) == 0, nil
}

// upload puts a file into the bucket, unless it has it already, whole.
func (b *bucket) upload(ctx context.Context, f File) (size int, sent bool, err error) {
	content, err := f.read()
	if err != nil {
		return 0, false, err
	}
	sum := sha256.Sum256(content)
	path := s3.Path(f.Key)
	a, err := b.do(ctx, signed.Request{Method: http.MethodHead, Path: path,
		Header: http.Header{"X-Amz-Checksum-Mode": {"ENABLED"}}})
	switch {
	case err != nil:
		return 0, false, bucketError(a, err, "look for "+b.uri(f.Key), "s3:GetObject")
	case a.Status == http.StatusOK && a.Header.Get("X-Amz-Checksum-Sha256") == base64.StdEncoding.EncodeToString(sum[:]):
		return len(content), false, nil
	case a.Status == http.StatusForbidden:
		return 0, false, bucketError(a, nil, "look for "+b.uri(f.Key), "s3:GetObject and s3:ListBucket")
	}
	a, err = b.do(ctx, signed.Request{Method: http.MethodPut, Path: path, Body: content,
		Header: http.Header{"Content-Type": {"application/octet-stream"}}})
	return len(content), true, bucketError(a, err, "upload "+b.uri(f.Key), "s3:PutObject")
}

func (b *bucket) uri(key string) string { return "s3://" + b.name + "/" + key }

// A File is an object that a deployment needs in the bucket. Its key has the hash of its content, so
// that the same content is the same object, and other content another one.
type File struct {
	Key    string
	SHA256 string // of the content, in hexadecimal digits
	Open   func() (io.ReadCloser, error)
}

// read reads the file, and checks it.
func (f *File) read() ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Key, err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Key, err)
	}
	if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != f.SHA256 {
		return nil, fmt.Errorf("%s is damaged: its SHA-256 is %x, want %s. Fetch the release again", f.Key, sum, f.SHA256)
	}
	return content, nil
}

// address is the URL under which CloudFormation reads an object.
func (b *bucket) address(ctx context.Context, key string) (string, error) {
	return b.client.Address(ctx, s3.Path(key))
}

// Content is a File of bytes.
func Content(key string, content []byte) File {
	sum := sha256.Sum256(content)
	return File{key, hex.EncodeToString(sum[:]), func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}}
}
