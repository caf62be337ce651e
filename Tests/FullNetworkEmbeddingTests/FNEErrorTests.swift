import CFNE
import XCTest

@testable import FNECodes
@testable import FNEEmbedding
@testable import FNEImage
@testable import FNEJob
@testable import FNENetwork
@testable import FNEPipeline
@testable import FNESupport

final class FNEErrorTests: XCTestCase {
    func testStatusesAreTheConstantsOfTheHeader() {
        let constants: [(FNEError.Status, Int32)] = [
            (.invalidArgument, FNE_INVALID_ARGUMENT), (.bufferTooSmall, FNE_BUFFER_TOO_SMALL),
            (.outOfMemory, FNE_OUT_OF_MEMORY), (.fileError, FNE_FILE_ERROR), (.unsupportedImage, FNE_UNSUPPORTED_IMAGE),
            (.damagedImage, FNE_DAMAGED_IMAGE), (.imageLimit, FNE_IMAGE_LIMIT), (.invalidGraph, FNE_INVALID_GRAPH),
            (.unsafeGraph, FNE_UNSAFE_GRAPH), (.unknownTensor, FNE_UNKNOWN_TENSOR),
            (.unsupportedTensor, FNE_UNSUPPORTED_TENSOR), (.backendUnavailable, FNE_BACKEND_UNAVAILABLE),
            (.backendConflict, FNE_BACKEND_CONFLICT), (.backendError, FNE_BACKEND_ERROR), (.notFinite, FNE_NOT_FINITE),
            (.cancelled, FNE_CANCELLED), (.forked, FNE_FORKED), (.shapeMismatch, FNE_SHAPE_MISMATCH),
            (.invalidData, FNE_INVALID_DATA), (.internalError, FNE_INTERNAL_ERROR), (.jobMismatch, FNE_JOB_MISMATCH),
            (.jobBusy, FNE_JOB_BUSY), (.ioError, FNE_IO_ERROR),
        ]
        for (status, constant) in constants { XCTAssertEqual(status.rawValue, constant, "\(status)") }
        XCTAssertEqual(constants.map(\.0), FNEError.Status.allCases)
        XCTAssertEqual(FNEError.Status.allCases.map(\.rawValue), Array(1...23))
        XCTAssertNil(FNEError.Status(rawValue: FNE_OK))
    }

    func testOtherEnumerationsAreTheConstantsOfTheHeader() {
        XCTAssertEqual(
            [TensorKind.other, .convolution, .depthwise, .dense, .input].map(\.rawValue),
            [FNE_KIND_OTHER, FNE_KIND_CONVOLUTION, FNE_KIND_DEPTHWISE, FNE_KIND_DENSE, FNE_KIND_INPUT])
        XCTAssertEqual(
            ImageFormat.allCases.map(\.rawValue),
            [
                FNE_FORMAT_OTHER, FNE_FORMAT_JPEG, FNE_FORMAT_PNG, FNE_FORMAT_WEBP, FNE_FORMAT_GIF, FNE_FORMAT_BMP,
                FNE_FORMAT_TIFF, FNE_FORMAT_AVIF, FNE_FORMAT_HEIF, FNE_FORMAT_JPEG2000,
            ])
        XCTAssertEqual(
            LeftOut.allCases.map { Int32($0.rawValue) },
            [
                FNE_LEFT_OUT_HIDDEN, FNE_LEFT_OUT_NO_IMAGE, FNE_LEFT_OUT_RAW, FNE_LEFT_OUT_UNREADABLE_FILE,
                FNE_LEFT_OUT_UNREADABLE_FOLDER, FNE_LEFT_OUT_SPECIAL, FNE_LEFT_OUT_BROKEN_LINK,
            ])
        XCTAssertEqual([ChannelOrder.rgb, .bgr].map(\.rawValue), [FNE_CHANNELS_RGB, FNE_CHANNELS_BGR])
        XCTAssertEqual([Extractor.OnError.fail, .skip].map(\.rawValue), [FNE_ON_ERROR_FAIL, FNE_ON_ERROR_SKIP])
        XCTAssertEqual(
            [Discretization.Rules.documented, .torch].map(\.rawValue), [FNE_RULES_DOCUMENTED, FNE_RULES_TORCH])
        XCTAssertEqual(
            [Job.Phase.embedding, .statistics, .codes, .finishing].map(\.rawValue),
            [FNE_PHASE_EMBEDDING, FNE_PHASE_STATISTICS, FNE_PHASE_CODES, FNE_PHASE_FINISHING])
        XCTAssertEqual(
            [Job.State.running, .features, .finished].map(\.rawValue),
            [FNE_JOB_RUNNING, FNE_JOB_FEATURES, FNE_JOB_FINISHED])
        XCTAssertEqual(
            [PackedCodes.Metric.dot, .cosine, .hamming, .centred].map(\.rawValue),
            [FNE_METRIC_DOT, FNE_METRIC_COSINE, FNE_METRIC_HAMMING, FNE_METRIC_CENTRED])
        XCTAssertEqual([CodeFormats.int8, .packed].map(\.rawValue), [FNE_CODES_INT8, FNE_CODES_PACKED])
        XCTAssertEqual(
            [Log.Level.info, .warning, .error].map(\.rawValue), [FNE_LOG_INFO, FNE_LOG_WARNING, FNE_LOG_ERROR])
    }

    func testTheMessageNamesItsSubject() {
        let error = FNEError(.fileError, "No such file or directory").about("cat.jpg").about("image 3 of 9")
        XCTAssertEqual(error, FNEError(.fileError, "image 3 of 9: cat.jpg: No such file or directory"))
        XCTAssertEqual("\(error)", error.message)
    }

    func testProductsThatOverflowAreRefused() {
        XCTAssertEqual(try checkedProduct(3, 4, 5, of: "x"), 60)
        XCTAssertEqual(try checkedProduct(0, .max, of: "x"), 0)
        assertFails(.invalidArgument, saying: "rows") { try checkedProduct(1 << 32, 1 << 31, of: "rows") }
        assertFails(.invalidArgument) { try checkedProduct(2, -1, of: "rows") }
    }
}
