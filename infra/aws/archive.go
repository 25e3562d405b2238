package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsglue"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskinesisfirehose"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/jsii-runtime-go"

	"github.com/spillwayhq/spillway/infra/topology"
	format "github.com/spillwayhq/spillway/shared/archive"
)

// An archive is what the topology's archive is on AWS. The zero value: there is none.
type archive struct {
	bucket awss3.Bucket
	stream awskinesisfirehose.CfnDeliveryStream
}

// addArchive creates the bucket, and the stream that writes to it what deliver puts into it.
//
// The records are compressed already, so the stream writes them as they come: concatenated zstd
// frames are a zstd file.
func (p *pipeline) addArchive() {
	a, n := p.topology.Archive, p.topology.Names
	if a == (topology.Archive{}) {
		return
	}
	key := p.queues[n.EventsQueue].key
	p.archive.bucket = p.newArchiveBucket(a, key)
	logs := p.newLogGroup("ArchiveLog", "/aws/kinesisfirehose/"+a.Stream, a.LogRetention)
	stream := logs.AddStream(jsii.String("ArchiveLogStream"),
		&awslogs.StreamOptions{LogStreamName: jsii.String("S3Delivery")})
	role := p.newArchiveRole(logs, key)
	bucket := &awskinesisfirehose.CfnDeliveryStream_ExtendedS3DestinationConfigurationProperty{
		BucketArn: p.archive.bucket.BucketArn(), RoleArn: role.RoleArn(), CompressionFormat: jsii.String("UNCOMPRESSED"),
		Prefix: jsii.String(format.Prefix + "!{timestamp:yyyy/MM/dd/HH}/"),
		ErrorOutputPrefix: jsii.String(topology.ArchiveErrors +
			"!{firehose:error-output-type}/!{timestamp:yyyy/MM/dd/HH}/"),
		FileExtension: jsii.String(format.Extension),
		BufferingHints: &awskinesisfirehose.CfnDeliveryStream_BufferingHintsProperty{
			SizeInMBs: jsii.Number(a.BufferBytes >> 20), IntervalInSeconds: jsii.Number(a.BufferTime.Seconds())},
		CloudWatchLoggingOptions: &awskinesisfirehose.CfnDeliveryStream_CloudWatchLoggingOptionsProperty{
			Enabled: jsii.Bool(true), LogGroupName: logs.LogGroupName(), LogStreamName: stream.LogStreamName()},
	}
	encryption := &awskinesisfirehose.CfnDeliveryStream_DeliveryStreamEncryptionConfigurationInputProperty{
		KeyType: jsii.String("AWS_OWNED_CMK")}
	if key != nil {
		encryption.KeyType, encryption.KeyArn = jsii.String("CUSTOMER_MANAGED_CMK"), key.KeyArn()
	}
	p.archive.stream = awskinesisfirehose.NewCfnDeliveryStream(p.Stack, jsii.String("ArchiveStream"),
		&awskinesisfirehose.CfnDeliveryStreamProps{
			DeliveryStreamName: jsii.String(a.Stream), DeliveryStreamType: jsii.String("DirectPut"),
			DeliveryStreamEncryptionConfigurationInput: encryption, ExtendedS3DestinationConfiguration: bucket,
		})
	p.archive.stream.Node().AddDependency(role) // with its policy
	if p.settings.ArchiveTable {
		p.addArchiveTable(a)
	}
}

// newArchiveBucket creates the bucket. AWS makes up its name: deleting the stack, or switching the
// archive off, retains it, and a fixed name would then be in the way of the next one. S3 goes on to
// delete what has been kept for long enough.
//
// It has no versions: what was forgotten would still be there.
func (p *pipeline) newArchiveBucket(a topology.Archive, key awskms.IKey) awss3.Bucket {
	props := &awss3.BucketProps{
		BlockPublicAccess: awss3.BlockPublicAccess_BLOCK_ALL(), EnforceSSL: jsii.Bool(true),
		Encryption: awss3.BucketEncryption_S3_MANAGED, RemovalPolicy: awscdk.RemovalPolicy_RETAIN_ON_UPDATE_OR_DELETE,
		LifecycleRules: &[]*awss3.LifecycleRule{{
			Id: jsii.String("archive-days"), Expiration: seconds(a.Kept),
			AbortIncompleteMultipartUploadAfter: awscdk.Duration_Days(jsii.Number(1)),
			// Old events are seldom read, and must be there at once when they are: no Glacier.
			Transitions: &[]*awss3.Transition{{StorageClass: awss3.StorageClass_INTELLIGENT_TIERING(),
				TransitionAfter: awscdk.Duration_Days(jsii.Number(0))}},
		}},
	}
	if key != nil {
		props.Encryption, props.EncryptionKey = awss3.BucketEncryption_KMS, key
		props.BucketKeyEnabled = jsii.Bool(true) // KMS charges for each call
	}
	bucket := awss3.NewBucket(p.Stack, jsii.String("Archive"), props)
	bucket.Policy().ApplyRemovalPolicy(awscdk.RemovalPolicy_RETAIN) // the retained bucket still requires TLS
	return bucket
}

// newArchiveRole is what Firehose may do (Firehose developer guide, "Grant Firehose access to an
// Amazon S3 destination"), for streams of this account only.
func (p *pipeline) newArchiveRole(logs awslogs.LogGroup, key awskms.IKey) awsiam.Role {
	role := awsiam.NewRole(p.Stack, jsii.String("ArchiveRole"), &awsiam.RoleProps{
		AssumedBy: awsiam.NewServicePrincipal(jsii.String("firehose.amazonaws.com"), &awsiam.ServicePrincipalOpts{
			Conditions: &map[string]any{"StringEquals": map[string]*string{"aws:SourceAccount": p.Account()}}}),
		Description: jsii.String("role of Firehose for " + p.topology.Archive.Stream),
	})
	bucket := p.archive.bucket
	var objects []*string
	for _, prefix := range []string{format.Prefix, topology.ArchiveErrors} {
		objects = append(objects, bucket.ArnForObjects(jsii.String(prefix+"*")))
	}
	allow(role, []*string{bucket.BucketArn()}, "s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads")
	allow(role, objects, "s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload")
	allow(role, []*string{logs.LogGroupArn()}, "logs:PutLogEvents")
	if key != nil {
		allow(role, []*string{key.KeyArn()}, "kms:GenerateDataKey", "kms:Decrypt")
	}
	policy := role.Node().FindChild(jsii.String("DefaultPolicy")).Node().DefaultChild()
	policy.(awsiam.CfnPolicy).SetPolicyName(jsii.String(p.topology.Archive.Stream))
	return role
}

// grantArchive lets deliver put records into the archive's stream.
func (p *pipeline) grantArchive(deliver function) {
	if p.archive.stream != nil {
		allow(deliver.role, []*string{p.archive.stream.AttrArn()}, "firehose:PutRecordBatch")
	}
}

// archiveColumns are the keys of a record (package archive). event and the other parts of a request
// are JSON texts, for json_extract_scalar.
var archiveColumns = [...]struct{ name, kind string }{
	{"time", "string"}, {"outcome", "string"}, {"reason", "string"}, {"detail", "string"}, {"write_key", "string"},
	{"replay", "string"}, {"received_at", "string"}, {"origin", "string"}, {"receives", "int"}, {"context", "string"},
	{"integrations", "string"}, {"event", "string"}, {"event_base64", "string"},
	{"part", "int"}, {"parts", "int"}, {"whole", "string"}, {"record_base64", "string"}, // of one that is too large
}

// addArchiveTable creates a table over the bucket, for Athena. Its partitions are the folders of
// the hours, which Athena makes up from the range, so that nobody has to add them.
func (p *pipeline) addArchiveTable(a topology.Archive) {
	name := topology.ArchiveDatabase(p.topology.Names)
	catalog, location := p.Account(), *p.archive.bucket.S3UrlForObject(jsii.String(format.Prefix))
	database := awsglue.NewCfnDatabase(p.Stack, jsii.String("AthenaDatabase"), &awsglue.CfnDatabaseProps{
		CatalogId: catalog, DatabaseInput: &awsglue.CfnDatabase_DatabaseInputProperty{Name: jsii.String(name),
			Description: jsii.String("the archive of the pipeline " + p.topology.Names.Pipeline)},
	})
	var columns []any
	for _, c := range archiveColumns {
		columns = append(columns, &awsglue.CfnTable_ColumnProperty{Name: jsii.String(c.name), Type: jsii.String(c.kind)})
	}
	table := awsglue.NewCfnTable(p.Stack, jsii.String("AthenaTable"), &awsglue.CfnTableProps{
		CatalogId: catalog, DatabaseName: jsii.String(name),
		TableInput: &awsglue.CfnTable_TableInputProperty{
			Name: jsii.String(topology.ArchiveTable), TableType: jsii.String("EXTERNAL_TABLE"),
			Description:   jsii.String("events that were delivered or became dead letters, by the hour of their arrival (UTC)"),
			PartitionKeys: &[]any{&awsglue.CfnTable_ColumnProperty{Name: jsii.String("hour"), Type: jsii.String("string")}},
			StorageDescriptor: &awsglue.CfnTable_StorageDescriptorProperty{
				Columns: &columns, Location: jsii.String(location), Compressed: jsii.Bool(true),
				InputFormat:  jsii.String("org.apache.hadoop.mapred.TextInputFormat"),
				OutputFormat: jsii.String("org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"),
				SerdeInfo: &awsglue.CfnTable_SerdeInfoProperty{
					// Of Athena's two for JSON it is the one that gives an object as text to a
					// column of type string. case.insensitive would write the keys in that text in
					// lower case.
					SerializationLibrary: jsii.String("org.openx.data.jsonserde.JsonSerDe"),
					Parameters:           map[string]string{"case.insensitive": "FALSE", "ignore.malformed.json": "TRUE"},
				},
			},
			Parameters: map[string]string{
				"EXTERNAL": "TRUE", "classification": "json", "projection.enabled": "true", "projection.hour.type": "date",
				"projection.hour.format": "yyyy/MM/dd/HH", "projection.hour.interval": "1",
				"projection.hour.interval.unit": "HOURS",
				"projection.hour.range":         a.TableRange(),
				"storage.location.template":     location + "${hour}/",
			},
		},
	})
	table.Node().AddDependency(database)
	p.output(topology.OutputArchiveTable, "the archive's table, for Athena", jsii.String(name+"."+topology.ArchiveTable))
}
