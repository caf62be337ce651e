import FNEImage
import FNENetwork
import FNESupport

extension Preprocessing {
    /// What the options ask for, in a network with this input.
    ///
    /// - Throws: `.invalidArgument`.
    init(_ options: Extractor.Options, _ input: Model.Input) throws {
        try Self.check(options)
        try Self.checkWholeNumbers(options, input)
        let size = try input.size(height: options.height, width: options.width)
        self.init(height: size.height, width: size.width)
        target = PixelSize(
            height: try Self.target("resize_height", options.resizeHeight, self.input.height, "height", options.crops),
            width: try Self.target("resize_width", options.resizeWidth, self.input.width, "width", options.crops))
        mode = options.resizeMode
        decode = options.decode
        interpolation = decode.interpolation(options.interpolation)
        crops = options.crops
        channels = try Self.channels(options.channels, input.channels)
        channelOrder = options.channelOrder
        mean = options.mean
        scale = options.scale
        imageOptions = options.imageOptions
    }

    private static func check(_ options: Extractor.Options) throws {
        for value in [
            options.mean.0, options.mean.1, options.mean.2, options.scale.0, options.scale.1, options.scale.2,
        ] where !value.isFinite {
            throw FNEError(.invalidArgument, "mean and scale must be finite numbers, but one is \(value)")
        }
        for scale in [options.scale.0, options.scale.1, options.scale.2] where scale == 0 {
            throw FNEError(
                .invalidArgument, "scale is 0, so every image would look the same to the network. Take another number")
        }
        try options.imageOptions.check()
    }

    /// A network that reads whole numbers is fed with the pixels themselves.
    private static func checkWholeNumbers(_ options: Extractor.Options, _ input: Model.Input) throws {
        guard input.wholeNumbers != nil, options.mean != (0, 0, 0) || options.scale != (1, 1, 1) else { return }
        throw FNEError(
            .invalidArgument,
            "the graph's input '\(input.name.text)' is \(input.typeName), so it is fed with the pixels as they are. "
                + "mean must be 0 and scale 1")
    }

    private static func channels(_ wanted: Int?, _ fixed: Int?) throws -> Int {
        if let wanted, let fixed, wanted != fixed {
            throw FNEError(
                .invalidArgument, "channels is \(wanted), but the graph's input has a fixed number of \(fixed)")
        }
        let channels = wanted ?? fixed ?? 3
        guard channels == 1 || channels == 3 else {
            throw FNEError(.invalidArgument, "channels is \(channels); it must be 3, or 1 for grey")
        }
        return channels
    }

    /// A side of the size that pictures are resized to.
    private static func target(
        _ name: String, _ wanted: Int?, _ input: Int, _ inputName: String, _ crops: Crops
    ) throws -> Int {
        // The published experiments take ten crops of 224 pixels from pictures of 256 pixels.
        let side = wanted ?? (crops == .ten ? (input * 16 + 7) / 14 : input)
        guard side >= input, side <= 32_768 else {
            throw FNEError(
                .invalidArgument, "\(name) is \(side); it must be \(input) (the network input's \(inputName)) to 32768")
        }
        return side
    }
}
