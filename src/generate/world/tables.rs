//! The rows of the invented world. Append only: the order decides the addresses.

/// A country with its largest network city.
#[derive(Clone, Copy, Debug)]
pub struct CountryRow {
    /// ISO 3166-1 alpha-2.
    pub code: &'static str,
    /// How its networks are called.
    pub name: &'static str,
    /// Latitude and longitude in hundredths of a degree.
    pub cell: (i16, i16),
    /// Standard time ahead of UTC, in minutes.
    pub utc_offset_minutes: i16,
}

const fn row(
    code: &'static str,
    name: &'static str,
    cell: (i16, i16),
    utc_offset_minutes: i16,
) -> CountryRow {
    CountryRow { code, name, cell, utc_offset_minutes }
}

/// All countries of the world.
pub const COUNTRIES: &[CountryRow] = &[
    row("US", "United States", (4_188, -8_763), -360), // Chicago
    row("GB", "British", (5_151, -13), 0),             // London
    row("DE", "German", (5_011, 868), 60),             // Frankfurt
    row("FR", "French", (4_886, 235), 60),             // Paris
    row("IE", "Irish", (5_335, -626), 0),              // Dublin
    row("NL", "Dutch", (5_237, 490), 60),              // Amsterdam
    row("ES", "Spanish", (4_042, -370), 60),           // Madrid
    row("IT", "Italian", (4_546, 919), 60),            // Milan
    row("PL", "Polish", (5_223, 2_101), 60),           // Warsaw
    row("SE", "Swedish", (5_933, 1_807), 60),          // Stockholm
    row("NO", "Norwegian", (5_991, 1_075), 60),        // Oslo
    row("FI", "Finnish", (6_017, 2_494), 120),         // Helsinki
    row("DK", "Danish", (5_568, 1_257), 60),           // Copenhagen
    row("BE", "Belgian", (5_085, 435), 60),            // Brussels
    row("CH", "Swiss", (4_737, 854), 60),              // Zurich
    row("AT", "Austrian", (4_821, 1_637), 60),         // Vienna
    row("CZ", "Czech", (5_008, 1_444), 60),            // Prague
    row("PT", "Portuguese", (3_872, -914), 0),         // Lisbon
    row("GR", "Greek", (3_798, 2_373), 120),           // Athens
    row("RO", "Romanian", (4_443, 2_610), 120),        // Bucharest
    row("HU", "Hungarian", (4_750, 1_904), 60),        // Budapest
    row("BG", "Bulgarian", (4_270, 2_332), 120),       // Sofia
    row("HR", "Croatian", (4_581, 1_598), 60),         // Zagreb
    row("RS", "Serbian", (4_479, 2_045), 60),          // Belgrade
    row("UA", "Ukrainian", (5_045, 3_052), 120),       // Kyiv
    row("LT", "Lithuanian", (5_469, 2_528), 120),      // Vilnius
    row("LV", "Latvian", (5_695, 2_411), 120),         // Riga
    row("EE", "Estonian", (5_944, 2_475), 120),        // Tallinn
    row("TR", "Turkish", (4_101, 2_898), 180),         // Istanbul
    row("IL", "Israeli", (3_209, 3_478), 120),         // Tel Aviv
    row("AE", "Emirates", (2_520, 5_527), 240),        // Dubai
    row("SA", "Saudi", (2_471, 4_668), 180),           // Riyadh
    row("EG", "Egyptian", (3_004, 3_124), 120),        // Cairo
    row("MA", "Moroccan", (3_357, -759), 60),          // Casablanca
    row("NG", "Nigerian", (652, 338), 60),             // Lagos
    row("KE", "Kenyan", (-129, 3_682), 180),           // Nairobi
    row("ZA", "South African", (-2_620, 2_805), 120),  // Johannesburg
    row("GH", "Ghanaian", (560, -19), 0),              // Accra
    row("IN", "Indian", (1_908, 7_288), 330),          // Mumbai
    row("PK", "Pakistani", (2_486, 6_700), 300),       // Karachi
    row("BD", "Bangladeshi", (2_381, 9_041), 360),     // Dhaka
    row("LK", "Sri Lankan", (693, 7_986), 330),        // Colombo
    row("CN", "Chinese", (3_123, 12_147), 480),        // Shanghai
    row("HK", "Hong Kong", (2_232, 11_417), 480),      // Hong Kong
    row("TW", "Taiwanese", (2_503, 12_157), 480),      // Taipei
    row("JP", "Japanese", (3_568, 13_969), 540),       // Tokyo
    row("KR", "Korean", (3_757, 12_698), 540),         // Seoul
    row("SG", "Singapore", (135, 10_382), 480),        // Singapore
    row("MY", "Malaysian", (314, 10_169), 480),        // Kuala Lumpur
    row("TH", "Thai", (1_376, 10_050), 420),           // Bangkok
    row("VN", "Vietnamese", (2_103, 10_585), 420),     // Hanoi
    row("ID", "Indonesian", (-621, 10_685), 420),      // Jakarta
    row("PH", "Philippine", (1_460, 12_098), 480),     // Manila
    row("AU", "Australian", (-3_387, 15_121), 600),    // Sydney
    row("NZ", "New Zealand", (-3_685, 17_476), 720),   // Auckland
    row("CA", "Canadian", (4_365, -7_938), -300),      // Toronto
    row("MX", "Mexican", (1_943, -9_913), -360),       // Mexico City
    row("BR", "Brazilian", (-2_355, -4_663), -180),    // Sao Paulo
    row("AR", "Argentine", (-3_460, -5_838), -180),    // Buenos Aires
    row("CL", "Chilean", (-3_345, -7_067), -240),      // Santiago
    row("CO", "Colombian", (471, -7_407), -300),       // Bogota
    row("PE", "Peruvian", (-1_205, -7_704), -300),     // Lima
];

/// A cloud's region: number, name, country, latitude and longitude in hundredths of a degree.
type CloudRow = (u32, &'static str, &'static str, (i16, i16));

/// Clouds by region, under their real numbers and names.
pub(super) const CLOUDS: &[CloudRow] = &[
    (16_509, "Amazon.com", "US", (3_904, -7_749)),
    (16_509, "Amazon.com", "US", (4_584, -11_970)),
    (16_509, "Amazon.com", "US", (3_996, -8_300)),
    (16_509, "Amazon.com", "IE", (5_335, -626)),
    (16_509, "Amazon.com", "DE", (5_011, 868)),
    (16_509, "Amazon.com", "GB", (5_151, -13)),
    (16_509, "Amazon.com", "FR", (4_886, 235)),
    (16_509, "Amazon.com", "SE", (5_933, 1_807)),
    (16_509, "Amazon.com", "SG", (135, 10_382)),
    (16_509, "Amazon.com", "JP", (3_568, 13_969)),
    (16_509, "Amazon.com", "AU", (-3_387, 15_121)),
    (16_509, "Amazon.com", "IN", (1_908, 7_288)),
    (16_509, "Amazon.com", "BR", (-2_355, -4_663)),
    (16_509, "Amazon.com", "CA", (4_365, -7_938)),
    (14_618, "Amazon.com AES", "US", (3_904, -7_749)),
    (396_982, "Google Cloud", "US", (4_584, -11_970)),
    (396_982, "Google Cloud", "US", (3_904, -7_749)),
    (396_982, "Google Cloud", "GB", (5_151, -13)),
    (396_982, "Google Cloud", "DE", (5_011, 868)),
    (396_982, "Google Cloud", "NL", (5_237, 490)),
    (396_982, "Google Cloud", "SG", (135, 10_382)),
    (396_982, "Google Cloud", "JP", (3_568, 13_969)),
    (396_982, "Google Cloud", "AU", (-3_387, 15_121)),
    (396_982, "Google Cloud", "IT", (4_546, 919)),
    (8_075, "Microsoft Azure", "US", (3_904, -7_749)),
    (8_075, "Microsoft Azure", "US", (3_278, -9_680)),
    (8_075, "Microsoft Azure", "IE", (5_335, -626)),
    (8_075, "Microsoft Azure", "NL", (5_237, 490)),
    (8_075, "Microsoft Azure", "GB", (5_151, -13)),
    (8_075, "Microsoft Azure", "FR", (4_886, 235)),
    (8_075, "Microsoft Azure", "SG", (135, 10_382)),
    (8_075, "Microsoft Azure", "JP", (3_568, 13_969)),
    (8_075, "Microsoft Azure", "AU", (-3_387, 15_121)),
    (8_075, "Microsoft Azure", "CH", (4_737, 854)),
    (8_075, "Microsoft Azure", "ZA", (-2_620, 2_805)),
    (14_061, "DigitalOcean", "US", (4_071, -7_401)),
    (14_061, "DigitalOcean", "US", (3_777, -12_242)),
    (14_061, "DigitalOcean", "NL", (5_237, 490)),
    (14_061, "DigitalOcean", "DE", (5_011, 868)),
    (14_061, "DigitalOcean", "GB", (5_151, -13)),
    (14_061, "DigitalOcean", "SG", (135, 10_382)),
    (14_061, "DigitalOcean", "IN", (1_908, 7_288)),
    (14_061, "DigitalOcean", "CA", (4_365, -7_938)),
    (16_276, "OVH", "FR", (5_069, 317)),
    (16_276, "OVH", "DE", (5_011, 868)),
    (16_276, "OVH", "PL", (5_223, 2_101)),
    (16_276, "OVH", "CA", (4_365, -7_938)),
    (16_276, "OVH", "SG", (135, 10_382)),
    (24_940, "Hetzner Online", "DE", (4_945, 1_108)),
    (24_940, "Hetzner Online", "FI", (6_017, 2_494)),
    (24_940, "Hetzner Online", "US", (3_904, -7_749)),
    (63_949, "Akamai Connected Cloud", "US", (3_278, -9_680)),
    (63_949, "Akamai Connected Cloud", "DE", (5_011, 868)),
    (63_949, "Akamai Connected Cloud", "SG", (135, 10_382)),
    (63_949, "Akamai Connected Cloud", "JP", (3_568, 13_969)),
    (20_473, "The Constant Company (Vultr)", "US", (4_071, -7_401)),
    (20_473, "The Constant Company (Vultr)", "NL", (5_237, 490)),
    (20_473, "The Constant Company (Vultr)", "JP", (3_568, 13_969)),
    (20_473, "The Constant Company (Vultr)", "AU", (-3_387, 15_121)),
    (20_473, "The Constant Company (Vultr)", "KR", (3_757, 12_698)),
    (45_102, "Alibaba Cloud", "HK", (2_232, 11_417)),
    (45_102, "Alibaba Cloud", "SG", (135, 10_382)),
    (45_102, "Alibaba Cloud", "DE", (5_011, 868)),
    (31_898, "Oracle Cloud", "US", (3_904, -7_749)),
    (31_898, "Oracle Cloud", "DE", (5_011, 868)),
    (31_898, "Oracle Cloud", "JP", (3_568, 13_969)),
    (12_876, "Scaleway", "FR", (4_886, 235)),
    (12_876, "Scaleway", "NL", (5_237, 490)),
    (12_876, "Scaleway", "PL", (5_223, 2_101)),
    (51_167, "Contabo", "DE", (4_945, 1_108)),
];

/// Exits of commercial VPNs: invented name, country.
pub(super) const VPNS: &[(&str, &str)] = &[
    ("Veil VPN", "NL"),
    ("Veil VPN", "US"),
    ("Veil VPN", "GB"),
    ("Veil VPN", "DE"),
    ("Veil VPN", "CH"),
    ("Veil VPN", "SE"),
    ("Veil VPN", "SG"),
    ("Veil VPN", "JP"),
    ("Cloak VPN", "US"),
    ("Cloak VPN", "CA"),
    ("Cloak VPN", "FR"),
    ("Cloak VPN", "RO"),
    ("Cloak VPN", "HK"),
    ("Tunnelry", "US"),
    ("Tunnelry", "NL"),
    ("Tunnelry", "BR"),
    ("Tunnelry", "AU"),
    ("Burrow VPN", "CH"),
    ("Burrow VPN", "RO"),
    ("Burrow VPN", "US"),
    ("Burrow VPN", "IN"),
    ("Burrow VPN", "ZA"),
];
